"""What stands on a desk before the first request: tiers, reasons, the gateway, workflows in force."""

from copy import deepcopy
from typing import Any

from accounts.models import Organization
from accounts.roles import Role
from approvals.models import ReasonCode, Stage, TierSettings
from approvals.policies import publish_bands
from approvals.states import Verdict
from integrations.models import (
    Connection,
    Endpoint,
)
from integrations.secrets import encrypt
from opsdesk.settings import BASE_DIR
from tests.factories.people import Cast, make_cast, make_member, make_organization, make_team
from workflows import pack_text
from workflows.models import (
    Trigger,
    Workflow,
    WorkflowVersion,
)
from workflows.publishing import publish_pack
from workflows.states import (
    Tier,
)

PACK = (BASE_DIR / "workflows" / "packs" / "refund.yaml").read_text(encoding="utf-8")
_REFUND = pack_text.read(PACK)  # once: reading is a tenth of making a desk
BANDS = {"GBP": [("0", Tier.INSTANT), ("50", Tier.FAST_TRACK), ("100", Tier.FULL_REVIEW)]}


def make_tiers(organization: Organization, *, votes: int = 1, undo_seconds: int = 10) -> dict[Tier, TierSettings]:
    """Settings of all three tiers; the team `refunds` votes."""
    team = make_team(organization, "refunds")
    made = {}
    for tier in Tier:
        wish = {"undo_seconds": undo_seconds}
        made[tier], _ = TierSettings.objects.update_or_create(organization=organization, tier=tier, defaults=wish)
        if tier != Tier.INSTANT:
            Stage.objects.update_or_create(tier=made[tier], position=0, defaults={"team": team, "votes": votes})
    return made


def make_reasons(organization: Organization) -> dict[str, ReasonCode]:
    """One reason to approve, one that asks for a sentence, one to reject; by code."""
    rows = [
        (Verdict.APPROVE, "goods-returned", "Goods came back", ["returned"], False),
        (Verdict.APPROVE, "goodwill", "Goodwill", [], True),
        (Verdict.REJECT, "never-bought", "Not bought from us", ["returned"], False),
    ]
    return {
        code: ReasonCode.objects.create(
            organization=organization,
            verdict=verdict,
            code=code,
            label=label,
            suggested_for=suggested,
            text_needed=text,
            position=position,
        )
        for position, (verdict, code, label, suggested, text) in enumerate(rows)
    }


def make_connection(organization: Organization, slug: str = "gateway", **fields: Any) -> Connection:
    """The gateway, with its endpoint."""
    fields = {
        "name": slug.title(),
        "connector": "stripe",
        "base_url": "http://127.0.0.1:9",
        "secret": encrypt("sk_test_of_the_tests"),
        **fields,
    }
    connection = Connection.objects.create(organization=organization, slug=slug, **fields)
    Endpoint.objects.create(
        organization=organization,
        connection=connection,
        slug=slug,
        scheme=Endpoint.Scheme.STRIPE if connection.connector == "stripe" else Endpoint.Scheme.STANDARD,
        secret=encrypt("whsec_b2YgdGhlIHRlc3Rz"),
    )
    return connection


def make_workflow(organization: Organization) -> Workflow:
    """The shipped refund workflow with its rules, and the thresholds above, all published; with its connection."""
    if not Connection.objects.filter(organization=organization, slug="gateway").exists():
        make_connection(organization)
    if not TierSettings.objects.filter(organization=organization).exists():
        make_tiers(organization)
    team = make_team(organization, "refunds")
    if not team.members.exists():
        make_member(organization, f"voter-of-{organization.slug}", Role.OPERATOR, teams=(team,))
    version = publish_pack(organization, deepcopy(_REFUND), by=None, reason="For a test.")
    publish_bands(version.workflow, BANDS, by=None, reason="For a test.")
    return version.workflow


FORM = {
    "name": "Errands",
    "slug": "errand",
    "case_kind": "errand",
    "triggers": [
        {
            "key": "by-hand",
            "kind": "form",
            "config": {
                "title": "Ask for an errand",
                "lead": "Somebody of the team takes it on.",
                "fields": [
                    {"name": "what", "label": "What is to be done"},
                    {"name": "more", "type": "long_text", "label": "More about it", "required": False},
                    {"name": "amount", "type": "amount", "label": "How much it may cost"},
                    {"name": "currency", "type": "choice", "label": "Currency", "choices": ["GBP", "JPY"]},
                    {"name": "by", "type": "date", "label": "By when", "required": False},
                    {"name": "pieces", "type": "number", "label": "How many", "required": False},
                    {"name": "urgent", "type": "flag", "label": "It is urgent"},
                ],
            },
        }
    ],
    "fields": {"key": "reference", "amount": "amount", "currency": "currency", "requested_by": "requested_by"},
    "steps": [{"key": "rest", "kind": "wait", "config": {"for_minutes": 30}}],
}


def make_form(organization: Organization) -> Trigger:
    """A workflow that begins by a form and then rests; its form as it is in force."""
    return publish_pack(organization, FORM, by=None, reason="For a test.").triggers.get()


def make_desk(slug: str = "wholesale-uk", *, suffix: str = "") -> tuple[Organization, Cast]:
    """An organization with everything a refund needs: people, tiers, reasons, gateway, workflow, rules, thresholds."""
    organization = make_organization(slug)
    cast = make_cast(organization, suffix=suffix)
    make_tiers(organization)
    make_reasons(organization)
    make_workflow(organization)
    return organization, cast


def published_version(organization: Organization) -> WorkflowVersion:
    """The refund version in force, else another one; the refund workflow is made when there is none at all."""
    versions = WorkflowVersion.objects.filter(workflow__organization=organization, state="published")
    found = versions.filter(workflow__slug="refund").first() or versions.first()
    if found is None:
        found = make_workflow(organization).versions.get(state="published")
    return found
