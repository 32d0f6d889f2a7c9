"""A form takes the fields that it shows: the name of a column, of a key or of a path changes nothing beside them."""

import re

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Model

from accounts.models import Membership, Organization, User
from approvals.models import Review
from integrations.models import Action
from tests.visits import client_of, counted_once, every_url, furnish, quietly, undone
from workflows.models import Authorization, Case, Run

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)

OURS = ("accounts", "approvals", "integrations", "workflows")
# What no form of the desk is for, whoever sends it.
KEPT: dict[type[Model], tuple[str, ...]] = {
    User: ("pk", "username", "password", "is_staff", "is_superuser", "is_active", "person"),
    Membership: ("pk", "organization", "user", "role", "ended_at"),
    Organization: ("pk", "slug", "rules_need_second_person", "rights_need_second_person", "audit_kept_apart"),
    Case: ("pk", "organization", "kind", "requested_by_user"),
    Run: ("pk", "organization", "case", "version"),
    Review: ("pk", "organization", "case", "decision", "content_hash"),
    Authorization: ("pk", "organization", "case", "amount_minor", "target", "granted_by"),
    Action: ("pk", "organization", "case", "authorization", "amount_minor"),
}


def names() -> list[str]:
    """Every column and every relation of the desk, and paths through them."""
    fields = {
        field.name for app in OURS for model in apps.get_app_config(app).get_models() for field in model._meta.fields
    }
    return sorted(
        fields
        | {f"{name}_id" for name in fields}
        | {"pk", "_connector", "organization__id", "case__organization", "user__is_superuser", "is_superuser"}
    )


# Forms may open these; nobody becomes a member, and nothing is authorized or sent, by a form alone.
MAY_BE_NEW = (Case, Run, Review)


def kept() -> dict[str, list[tuple[object, ...]]]:
    return {model.__name__: list(model._default_manager.order_by("pk").values_list(*KEPT[model])) for model in KEPT}


def different(before: dict[str, list[tuple[object, ...]]], now: dict[str, list[tuple[object, ...]]]) -> list[str]:
    """Models of which a row became another one, is gone, or is new where no form makes any."""
    new = {model.__name__ for model in MAY_BE_NEW}
    return [
        name
        for name, rows in before.items()
        if [row for row in rows if row not in now[name]] or (name not in new and len(now[name]) != len(rows))
    ]


@pytest.mark.parametrize("visitor", ["operator", "manager"])
def test_no_form_takes_more_than_it_shows(visitor: str):
    organization, members = furnish("ours")
    theirs, _ = furnish("theirs")
    client = client_of(visitor, members)
    before = kept()
    assert all(before.values())

    changed = []
    for url in every_url():
        if url.route.startswith(("admin/", "sign", "hooks/")):
            continue
        for value in (str(theirs.pk), "on"):
            with undone(client):
                client.post(url.address(organization), dict.fromkeys(names(), value))
                changed += [f"{url.name}: {name}" for name in different(before, kept())]

    assert not changed


def test_nothing_is_filtered_or_filled_by_what_was_sent():
    """`filter(**request.GET)` and forms with all fields, whichever there are tomorrow."""
    whole = re.compile(r"\*\*(self\.)?request\.|fields\s*=\s*[\"']__all__[\"']|exclude\s*=\s*\[")
    sources = [path for app in (*OURS, "auditlog", "opsdesk") for path in (settings.BASE_DIR / app).rglob("*.py")]

    assert len(sources) > 150
    assert [str(path) for path in sources if whole.search(path.read_text())] == []
    assert whole.search("filter(**request.GET.dict())")
    assert whole.search('fields = "__all__"')
