"""Builders for tests of definitions: an organization ready to take the shipped refund pack."""

from pathlib import Path

from accounts.models import Membership, Organization, Person, Team, User
from accounts.roles import Role
from approvals.models import Stage, TierSettings
from integrations.models import Connection
from workflows.models import Workflow
from workflows.states import Tier

PACK = (Path(__file__).parent.parent / "workflows" / "packs" / "refund.yaml").read_text()


def make_organization(slug: str = "acme") -> Organization:
    """An organization with a gateway connection."""
    organization = Organization.objects.create(name=slug.title(), slug=slug, currency="GBP", time_zone="Europe/London")
    Connection.objects.create(organization=organization, slug="gateway", name="Gateway", connector="stripe")
    return organization


def make_member(organization: Organization, name: str, role: Role = Role.OPERATOR, **more: object) -> User:
    """An account with its person and its membership; without a password, since hashing one takes its time."""
    person = Person.objects.create(name=name.title())
    user = User.objects.create(username=name, person=person, **more)
    Membership.objects.create(organization=organization, user=user, role=role)
    return user


def make_tiers(organization: Organization) -> None:
    """All three tiers, with a team of one voting."""
    team = Team.objects.create(organization=organization, name="Refunds", slug="refunds")
    team.members.add(make_member(organization, f"vera-{organization.slug}"))
    for tier in Tier:
        settings = TierSettings.objects.create(organization=organization, tier=tier)
        if tier != Tier.INSTANT:
            Stage.objects.create(tier=settings, team=team)


def make_workflow(organization: Organization, slug: str = "refund") -> Workflow:
    """A workflow without any edition."""
    return Workflow.objects.create(organization=organization, slug=slug, name=slug.title())
