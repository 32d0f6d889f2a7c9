"""Whether anybody could be asked in a tier: looked at before rules, thresholds or a version lead there."""

from collections.abc import Collection, Iterator

from django.db.models import F

from accounts.models import Membership
from accounts.roles import Permission, roles_with
from approvals.models import Stage, TierSettings
from approvals.stages import AskedStage
from approvals.voters import person_key
from workflows.states import Tier

_ROLES = roles_with(Permission.DECIDE)


def why_nobody(organization_id: int, tiers: Collection[Tier]) -> list[str]:
    """Sentences about what keeps these tiers from asking people, with what to do; instant asks nobody."""
    rows = TierSettings.objects.filter(organization_id=organization_id).prefetch_related(
        "stages__team", "stages__more_teams"
    )
    settings = {row.tier: row for row in rows}
    problems: list[str] = []
    for tier in sorted({*tiers} - {Tier.INSTANT}, key=lambda each: each.rank):
        if tier not in settings:
            problems.append(f"The tier {tier.label} is not set up: add it under Tiers, with a team that decides.")
            continue
        stages = sorted(settings[tier].stages.all(), key=lambda stage: stage.position)
        if not stages:
            problems.append(
                f"The tier {tier.label} has no stage: nobody could be asked. Name a team for it under Tiers."
            )
        problems += _too_few(tier, stages)
    return problems


def _too_few(tier: Tier, stages: Collection[Stage]) -> Iterator[str]:
    for stage in stages:
        asked = as_asked(stage)
        people = may_decide(asked, stage.team.organization_id)
        if asked.is_passed(people):
            continue
        found = len(people)
        who = f"only {found} may decide" if found else "nobody may decide"
        yield (
            f"The tier {tier.label} asks for {asked.needed} of the team {asked.names}, in which {who}: "
            f"add people to it whose role is {' or '.join(role.label.lower() for role in _ROLES)}, "
            "or name another team under Tiers."
        )


def as_asked(stage: Stage) -> AskedStage:
    """A stage as it is set up now."""
    more = [team for team in stage.more_teams.all() if team.pk != stage.team_id]
    return AskedStage((stage.team, *more), stage.votes, stage.every_team)


def may_decide(stage: AskedStage, organization_id: int) -> list[set[int]]:
    """The people of a stage's teams who may decide in the organization now: for each the teams they belong to."""
    members = Membership.objects.active().filter(
        organization_id=organization_id, role__in=_ROLES, user__teams__in=stage.team_ids
    )
    found: dict[str, set[int]] = {}
    for member in members.select_related("user").annotate(team=F("user__teams")):
        if member.team in stage.team_ids:
            found.setdefault(person_key(member.user), set()).add(member.team)
    return list(found.values())
