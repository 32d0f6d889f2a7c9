"""A workflow whose triggers are given by the test, with one step that rests."""

from typing import Any

import pytest

from accounts.models import Organization
from tests.factories import make_organization
from workflows.engine.intake import take_in
from workflows.models import Case, WorkflowVersion
from workflows.publishing import publish_pack

REST = [{"key": "rest", "kind": "wait", "config": {"for_minutes": 60}}]


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization("clocks", time_zone="Europe/Berlin")


def pack(*triggers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A pack that begins by these triggers."""
    content = {
        "name": "Watch",
        "slug": "watch",
        "case_kind": "watch",
        "triggers": list(triggers),
        "fields": {"key": "reference"},
        "steps": REST,
    }
    return {name: value for name, value in {**content, **changes}.items() if value}


def trigger(kind: str, key: str = "", **config: Any) -> dict[str, Any]:
    return {"key": key or f"by-{kind}", "kind": kind, "config": config}


def publish(organization: Organization, *triggers: dict[str, Any], **changes: Any) -> WorkflowVersion:
    return publish_pack(organization, pack(*triggers, **changes), by=None, reason="For a test.")


def opened() -> list[str]:
    """Keys of the cases that there are, once everything that arrived was taken in."""
    while take_in():
        pass
    return list(Case.objects.filter(kind="watch").order_by("pk").values_list("key", flat=True))
