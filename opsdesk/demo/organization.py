"""The demonstration organization itself: people, teams, connections, consent and the refund workflow."""

from datetime import time
from pathlib import Path

from django.conf import settings
from django.db import models, transaction

from accounts.models import BusinessCalendar, Membership, Organization, Person, Team, User
from accounts.roles import Role
from approvals.models import Policy, ReasonCode, Rung, Stage, TierSettings
from approvals.policies import publish_bands
from auditlog.services import Actor, record
from integrations.models import Connection, Endpoint
from integrations.secrets import encrypt
from opsdesk.demo import cast
from opsdesk.lib.money import Money
from workflows.models import Workflow, WorkflowVersion
from workflows.publishing import publish_pack
from workflows.states import VersionState

REASON = "Set up the demonstration."
PACKS = Path(settings.BASE_DIR) / "workflows" / "packs"


@transaction.atomic
def set_up() -> Organization:
    """Make what is missing of the organization and return it; what somebody has changed since stays changed."""
    organization, made = Organization.objects.get_or_create(
        slug=cast.ORGANIZATION,
        defaults={
            "name": cast.ORGANIZATION_NAME,
            "currency": cast.CURRENCY,
            "time_zone": cast.TIME_ZONE,
        },
    )
    _tell("accounts.organization.added", organization, organization, made)
    _set_up_people(organization)
    _set_up_connections(organization)
    _set_up_consent(organization)
    _publish_workflows(organization)
    return organization


def gateway_of(organization: Organization) -> Connection:
    """The connection to the demonstration gateway."""
    return Connection.objects.get(organization=organization, slug="gateway")


def _set_up_people(organization: Organization) -> None:
    teams = {}
    for slug, name in cast.TEAMS.items():
        teams[slug], made = Team.objects.get_or_create(organization=organization, slug=slug, defaults={"name": name})
        _tell("accounts.team.added", teams[slug], organization, made)
    for member in cast.CAST:
        user = User.objects.filter(username=member.username).first()
        if user is None:
            user = _open_account(member)
            _tell("accounts.user.added", user, organization, True)
            for slug in member.teams:
                teams[slug].members.add(user)
        membership, made = Membership.objects.get_or_create(
            organization=organization, user=user, defaults={"role": member.role}
        )
        _tell("accounts.membership.added", membership, organization, made)
    for member in cast.CAST:
        if member.manager:
            above = Person.objects.get(accounts__username=member.manager)
            Person.objects.filter(accounts__username=member.username, manager=None).update(manager=above)


def _open_account(member: cast.Member) -> User:
    email = f"{member.username}@wholesale-uk.example"
    person = Person.objects.create(name=f"{member.first_name} {member.last_name}", email=email)
    return User.objects.create_user(
        member.username,
        email,
        cast.PASSWORD,
        first_name=member.first_name,
        last_name=member.last_name,
        person=person,
        is_staff=member.role == Role.ADMIN,
    )


def _set_up_connections(organization: Organization) -> None:
    gateway, made = Connection.objects.get_or_create(
        organization=organization,
        slug="gateway",
        defaults={
            "name": "Demonstration gateway",
            "connector": "stripe",
            "base_url": f"http://127.0.0.1:{settings.GATEWAY_PORT}",
            "secret": encrypt(cast.GATEWAY_KEY),
        },
    )
    _tell("integrations.connection.added", gateway, organization, made)
    shop, made = Connection.objects.get_or_create(
        organization=organization, slug="shop", defaults={"name": "Shop", "connector": "standard"}
    )
    _tell("integrations.connection.added", shop, organization, made)
    for connection, scheme, secret in (
        (gateway, Endpoint.Scheme.STRIPE, cast.GATEWAY_WEBHOOK_SECRET),
        (shop, Endpoint.Scheme.STANDARD, cast.SHOP_WEBHOOK_SECRET),
    ):
        endpoint, made = Endpoint.objects.get_or_create(
            organization=organization,
            slug=connection.slug,
            defaults={"connection": connection, "scheme": scheme, "secret": encrypt(secret)},
        )
        _tell("integrations.endpoint.added", endpoint, organization, made)


def _set_up_consent(organization: Organization) -> None:
    # Staffed round the clock, so that objection windows end while somebody looks, whenever that is.
    calendar, made = BusinessCalendar.objects.get_or_create(
        organization=organization,
        defaults={"weekdays": list(range(7)), "opens_at": time(0), "closes_at": time(0)},
    )
    _tell("accounts.calendar.added", calendar, organization, made)
    for entry in cast.TIERS:
        tier, made = TierSettings.objects.get_or_create(
            organization=organization,
            tier=entry.tier,
            defaults={
                "due_minutes": entry.due_minutes,
                "objection_minutes": entry.objection_minutes,
                "second_opinion_percent": entry.second_opinion_percent,
            },
        )
        _tell("approvals.tier.added", tier, organization, made)
        if made and entry.team:
            team = Team.objects.get(organization=organization, slug=entry.team)
            Stage.objects.create(tier=tier, team=team, votes=1)
        if made:
            Rung.objects.bulk_create(
                Rung(tier=tier, position=position, after_minutes=after, what=what)
                for position, (after, what) in enumerate(entry.rungs)
            )
    for position, reason in enumerate(cast.REASONS, start=1):
        code, made = ReasonCode.objects.get_or_create(
            organization=organization,
            verdict=reason.verdict,
            code=reason.code,
            defaults={
                "label": reason.label,
                "suggested_for": list(reason.suggested_for),
                "text_needed": reason.text_needed,
                "position": position,
            },
        )
        _tell("approvals.reason_code.added", code, organization, made)


def _publish_workflows(organization: Organization) -> None:
    for slug in ("refund", "unverified"):
        published = WorkflowVersion.objects.filter(workflow__slug=slug, state=VersionState.PUBLISHED)
        if not published.filter(workflow__organization=organization).exists():
            pack = PACKS / f"{slug}.yaml"
            publish_pack(organization, pack.read_text(encoding="utf-8"), by=None, reason=REASON)
    workflow = Workflow.objects.get(organization=organization, slug="refund")
    if not Policy.objects.filter(workflow=workflow, state=VersionState.PUBLISHED).exists():
        bands = [(str(Money(entry.above_minor, cast.CURRENCY).decimal), entry.tier) for entry in cast.TIERS]
        publish_bands(workflow, {cast.CURRENCY: bands}, by=None, reason=REASON)


def _tell(verb: str, row: models.Model, organization: Organization, made: bool) -> None:
    """Record what was made; nothing is said about what had been there."""
    if made:
        record(
            verb,
            actor=Actor.desk("load_demo"),
            organization_id=organization.pk,
            subject=(row._meta.model_name or "", row.pk),
            reason=REASON,
            after={"name": str(row)},
        )
