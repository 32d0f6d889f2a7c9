"""Every address of the desk, who visits it, and an organization in which each address leads to something."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models import Model
from django.http import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import GroupRole, Organization, User
from accounts.roles import Role
from approvals.models import Absence, Ceiling, Policy, Review, RunningLimit, SecondOpinion, Setback, Skill, Trial
from approvals.policies import new_draft_policy
from auditlog.models import Entry, LegalHold, RetentionPolicy
from auditlog.services import Actor, record
from integrations.models import Break, ChatChannel, Connection, Notice, Reconciliation
from opsdesk.lib import clock
from opsdesk.models import Export, HeartbeatKind, PersonErasure, SavedView
from opsdesk.navigation import Navigation
from opsdesk.watch.heartbeats import note
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.approvals.reversals import make_drill, make_reversal
from tests.approvals.thresholds import make_trial
from tests.integrations.noticing import make_notices
from tests.opsdesk.lists import make_export, make_view
from tests.proposals import make_proposal
from workflows.models import Alert, Bulk, Case, DryRun, Failure, Recovery, Run, Trigger, Workflow
from workflows.publishing import new_draft, new_draft_rules
from workflows.states import EventState, Tier

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Who comes to the door. Roles are named as in accounts.roles.
VISITORS = ("anonymous", "viewer", "operator", "manager", "admin", "auditor")

# What the number in an address of the desk belongs to, by the first word of the address.
_OWNERS: dict[str, type[Model]] = {
    "cases": Case,
    "leaving": Case,
    "runs": Run,
    "failures": Failure,
    "alerts": Alert,
    "bulk": Bulk,
    "dry-runs": DryRun,
    "trials": Trial,
    "thresholds": Policy,
    "reviews": Review,
    "connections": Connection,
    "reconciliation": Reconciliation,
    "differences": Break,
    "recovery": Recovery,
    "switches": Workflow,
    "audit": Entry,
    "requests": Trigger,
    "second-opinions": SecondOpinion,
    "views": SavedView,
    "exports": Export,
    "time-off": Absence,
    "timers": Setback,
    "channels": ChatChannel,
    "notices": Notice,
}
# From a row of the admin to its organization, where that is not its own column.
_TO_ORGANIZATION = {
    "organization": "pk",
    "person": "accounts__memberships__organization",
    "user": "memberships__organization",
    "workflowversion": "workflow__organization",
    "maintenancewindow": "connection__organization",
    "ruleset": "workflow__organization",
    "rule": "rule_set__workflow__organization",
    "policy": "workflow__organization",
    "trigger": "version__workflow__organization",
}
# Apps whose rows in the admin belong to an organization.
OURS = ("accounts", "approvals", "auditlog", "integrations", "opsdesk", "workflows")
# Routes that are regular expressions, and parts of addresses that belong to nobody.
_SPELLED = {
    "admin:app_list": "admin/accounts/",
    "admin:django_rq_home_json": "admin/django_rq/dashboard/stats.json",
    "admin/(?P<url>.*)$": "admin/nowhere/",
}
_ANYBODYS = {"queue_index": "0", "scheduler_index": "0", "connection_index": "0", "content_type_id": "1"}
_PART = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Url:
    """One pattern of the project; what has no name is called by its route."""

    name: str
    route: str
    pattern: URLPattern

    @property
    def names_a_row(self) -> bool:
        """Whether it carries the key of something that belongs to an organization."""
        return self._owner() is not None

    def address(self, organization: Organization, *, key: str | None = None) -> str:
        """The address of something of that organization; or of the given key, whosoever that is."""
        if self.name in _SPELLED:
            return f"/{_SPELLED[self.name]}"
        return "/" + _PART.sub(lambda part: self._value(part[1], organization, key), self.route)

    def _owner(self) -> type[Model] | None:
        words = self.route.removeprefix("api/v1/").split("/")
        if "<" not in self.route:
            return None
        if words[0] == "admin" and words[1] in OURS:
            return apps.get_model(words[1], words[2])
        return _OWNERS.get(words[0])

    def _value(self, part: str, organization: Organization, key: str | None) -> str:
        if part in ("organization", "endpoint"):
            return {"organization": organization.slug, "endpoint": "gateway"}[part]
        owner = self._owner()
        if owner is None:
            return _ANYBODYS.get(part, "nobodys")
        return key or str(latest(owner, organization).pk)


def every_url() -> list[Url]:
    """All of them, those of packages too."""
    return list(_walk(get_resolver()))


def _walk(resolver: URLResolver, route: str = "", space: str = "") -> Iterator[Url]:
    for entry in resolver.url_patterns:
        longer = route + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry, longer, f"{space}{entry.namespace}:" if entry.namespace else space)
        else:
            yield Url(f"{space}{entry.name}" if entry.name else longer, longer, entry)


def latest(model: type[Model], organization: Organization) -> Model:
    """The newest row of a model that belongs to the organization."""
    path = _TO_ORGANIZATION.get(model._meta.model_name or "", "organization")
    row = model._default_manager.filter(**{path: organization.pk}).order_by("pk").last()
    assert row is not None, f"furnish() makes no {model.__name__}."
    return row


@transaction.atomic
def furnish(slug: str) -> tuple[Organization, dict[str, User]]:
    """An organization with something behind every address, and its members by role.

    Last comes a case that waits for the operator, so it is the newest.
    """
    organization, cast = factories.make_desk(slug, suffix=f"-{slug}")
    viewer = factories.make_member(organization, f"vera-{slug}", Role.VIEWER)
    factories.make_form(organization)
    _draft_editions(organization)
    factories.make_failure(organization)
    factories.make_bulk(organization, cast.maya)
    factories.make_alert(organization)
    factories.make_dry_run(organization, by=cast.tomasz)
    make_trial(organization, by=cast.tomasz)
    RunningLimit.objects.create(organization=organization, scope="customer", currency="GBP", amount_minor=50_000)
    Ceiling.objects.create(organization=organization, user=cast.ines, currency="GBP", amount_minor=50_000)
    make_proposal(cast.ada.memberships.get(), by=cast.tomasz)
    GroupRole.objects.create(organization=organization, group="desk", role=Role.OPERATOR)
    RetentionPolicy.objects.create(organization=organization, kind="calls", days=90)
    LegalHold.objects.create(organization=organization, party=f"Customer of {slug}")
    PersonErasure.objects.create(
        organization=organization, name=f"Requester of {slug}", kind="requester", mark="erased-1"
    )
    note(HeartbeatKind.BEAT, "work-1:1")
    factories.make_event(organization, state=EventState.QUARANTINED)
    gateway = Connection.objects.get(organization=organization)
    factories.make_call(gateway)
    # It is over, so that the desk does not stand still for it.
    factories.make_window(gateway, minutes=-10, starts_at=clock.now() - timedelta(hours=1))
    factories.make_break(organization)
    factories.make_recovery(organization, ended=True)
    Skill.objects.create(organization=organization, user=cast.ada, kind="refund")
    make_view(organization, cast.maya)
    make_export(organization, cast.maya)
    # Later, so that nobody is away meanwhile.
    factories.make_absence(cast.ada, organization, days=(30, 37))
    make_notices(organization, cast)
    leaving = factories.make_case(organization, amount="80.00")
    window = {"tier": Tier.FAST_TRACK, "objection_ends_at": clock.now() + timedelta(minutes=20)}
    factories.make_setback(factories.make_review(leaving, **window))
    make_second_opinion(organization, by=cast.ada, asked=cast.maya)
    make_reversal(organization, by=cast.ben)
    make_drill()
    case = factories.make_case(organization, party_name=f"Customer of {slug}")
    factories.make_review(case, assignee=cast.ada)
    factories.make_action(case.runs.get())
    record(
        "workflows.case.opened",
        actor=Actor.desk(),
        organization_id=organization.pk,
        subject=("case", case.pk),
        case_id=case.pk,
        reason=f"Asked for by the shop of {slug}.",
    )
    roles = {"operator": cast.ada, "manager": cast.maya, "admin": cast.tomasz, "auditor": cast.ines}
    return organization, {"viewer": viewer, **roles}


def _draft_editions(organization: Organization) -> None:
    """A draft of everything that is edited as a draft, beside what is published."""
    version = factories.published_version(organization)
    new_draft(version, by=None, reason="To be edited.")
    new_draft_rules(version.workflow.rule_sets.get(), by=None, reason="To be edited.")
    new_draft_policy(Policy.objects.get(workflow=version.workflow), by=None, reason="To be edited.")


def client_of(visitor: str, members: dict[str, User], **options: bool) -> Client:
    """A browser in which this visitor is signed in; errors of the server are answers, as in a real one."""
    client = Client(raise_request_exception=False, **options)
    if visitor != "anonymous":
        client.force_login(members[visitor])
    return client


@contextmanager
def undone(client: Client) -> Iterator[None]:
    """Whatever the client does within, in the database and to its session, is as it was afterwards."""
    cookies = client.cookies.copy()
    mark = transaction.savepoint()
    yield
    transaction.savepoint_rollback(mark)
    client.cookies = cookies


@contextmanager
def unrendered() -> Iterator[None]:
    """Answers of the admin without their page, for methods by which it shows what GET shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimpleTemplateResponse, "rendered_content", "")
        yield


def quietly() -> Iterator[None]:
    """A fixture for tests that are refused thousands of times: the tracebacks of that are not worth writing."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def counted_once() -> Iterator[None]:
    """A fixture for tests that open pages thousands of times: the numbers beside the navigation stay as first counted.

    They are half of what a small page costs, and tests/opsdesk/test_navigation.py proves them.
    """
    count, known = Navigation._counts, {}

    def counted(rail: Navigation, keys: list[str]) -> dict[str, int]:
        asked = (rail._membership and rail._membership.pk, *keys)
        if asked not in known:
            known[asked] = count(rail, keys), rail._saved
        counts, rail._saved = known[asked]
        return counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Navigation, "_counts", counted)
        yield


def said(client: Client, answer: HttpResponseBase) -> str:
    """What an answer means to a visitor: “yes”, “sign-in”, or the status of the refusal."""
    if answer.status_code not in (301, 302):
        return "yes" if answer.status_code in (200, 304, 409, 422) else str(answer.status_code)
    to = answer.headers["Location"]
    if to.startswith("/sign-in/?next="):
        return "sign-in"
    if to.startswith("/admin/login/"):
        # The admin sends whoever may not enter to its door, which refuses those who are signed in.
        return "403" if client.cookies else "sign-in"
    if to == "/admin/":
        # Of a row that is not there, the admin says so on its first page.
        page = client.get(to)
        return "404" if "doesn’t exist" in page.content.decode() else said(client, page)
    return "yes"
