"""Keeping what a tier meant, and going back to it: an earlier edition is put in force again as a new one."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts import proposals
from accounts.models import Team, User
from accounts.snapshots import difference, snapshot
from approvals import askable
from approvals.models import Rung, Stage, TierEdition, TierSettings
from approvals.stages import AskedStage
from auditlog.services import Actor, record
from opsdesk.lib.errors import DomainError
from workflows.states import Tier

_GIVEN_ONCE = ("id", "organization", "tier")
_CHILDREN = ("stages", "rungs")


class CannotGoBack(DomainError):
    """An earlier edition cannot be in force today."""


def content_of(tier: TierSettings) -> dict[str, Any]:
    """What a tier says now: its settings by name, its stages and rungs in their order; teams by key."""
    settings = {
        field.name: getattr(tier, field.name) for field in tier._meta.concrete_fields if field.name not in _GIVEN_ONCE
    }
    stages = [
        {
            "position": stage.position,
            "team": stage.team_id,
            "more_teams": sorted(team.pk for team in stage.more_teams.all()),
            "every_team": stage.every_team,
            "votes": stage.votes,
        }
        for stage in tier.stages.order_by("position").prefetch_related("more_teams")
    ]
    rungs = list(tier.rungs.order_by("position").values("position", "after_minutes", "what"))
    return {"settings": settings, "stages": stages, "rungs": rungs}


def keep(tier: TierSettings, *, by: User | None, reason: str) -> TierEdition | None:
    """Keep what the tier says now as its newest edition; None where that says the same. The caller holds its row."""
    newest = tier.editions.order_by("-number").first()
    content = content_of(tier)
    if newest is not None and newest.content == content:
        return None
    number = newest.number + 1 if newest is not None else 1
    return TierEdition.objects.create(tier=tier, number=number, content=content, made_by=by, reason=reason[:500])


def problems_of(edition: TierEdition) -> list[str]:
    """What keeps an edition from being in force today, in sentences."""
    tier, stages = edition.tier, edition.content["stages"]
    problems = []
    if proposals.are_asked(tier.organization_id):
        # The way back may be the milder one, and is made by one person.
        problems.append("Two people are asked here: change the tier on its page, and another admin puts it in force.")
    if tier.tier != Tier.INSTANT and not stages:
        problems.append("It has no stage: nobody could be asked.")
    teams = Team.objects.filter(organization_id=tier.organization_id).in_bulk(_team_ids(edition.content))
    for stage in stages:
        wanted = [stage["team"], *stage["more_teams"]]
        if any(team not in teams for team in wanted):
            problems.append("A team it asks does not exist any more.")
            continue
        asked = AskedStage(tuple(teams[team] for team in wanted), stage["votes"], stage["every_team"])
        people = askable.may_decide(asked, tier.organization_id)
        if not asked.is_passed(people):
            problems.append(f"It asks for {asked.needed} of {asked.names}, in which {len(people)} may decide now.")
    return problems


def _team_ids(content: Mapping[str, Any]) -> set[int]:
    return {team for stage in content["stages"] for team in [stage["team"], *stage["more_teams"]]}


@transaction.atomic
def revert(edition_id: int, *, by: User, reason: str) -> TierEdition:
    """Put an earlier edition of a tier in force again. Raises CannotGoBack.

    As with any change of a tier, what is open keeps what it was opened with, or gets what is stricter.
    """
    edition = TierEdition.objects.select_related("tier").get(pk=edition_id)
    tier = TierSettings.objects.select_for_update(of=("self",)).get(pk=edition.tier_id)
    problems = problems_of(edition)
    if problems:
        raise CannotGoBack(" ".join(problems))
    if content_of(tier) == edition.content:
        raise CannotGoBack("It says what is in force already.")
    before = snapshot(tier, children=_CHILDREN)
    keep(tier, by=None, reason="As it was before.")
    _write(tier, edition.content)
    fresh = TierSettings.objects.get(pk=tier.pk)
    was, now = difference(before, snapshot(fresh, children=_CHILDREN))
    record(
        "approvals.tier.reverted",
        actor=Actor.person(by),
        organization_id=tier.organization_id,
        subject=("tier", tier.pk),
        before=was,
        after={**now, "reverted_to": edition.number},
        reason=reason,
    )
    made = keep(fresh, by=by, reason=f"Back to v{edition.number}: {reason}")
    if made is None:
        raise CannotGoBack("It says what is in force already.")
    return made


def _write(tier: TierSettings, content: Mapping[str, Any]) -> None:
    """Settings that the edition did not know stay as they are."""
    known = {field.name for field in tier._meta.concrete_fields} - set(_GIVEN_ONCE)
    settings = {name: value for name, value in content["settings"].items() if name in known}
    for name, value in settings.items():
        setattr(tier, name, value)
    tier.save(update_fields=list(settings))
    tier.stages.all().delete()
    for row in content["stages"]:
        own = {name: value for name, value in row.items() if name not in ("team", "more_teams")}
        stage = Stage.objects.create(tier=tier, team_id=row["team"], **own)
        stage.more_teams.set(row["more_teams"])
    tier.rungs.all().delete()
    Rung.objects.bulk_create(Rung(tier=tier, **row) for row in content["rungs"])


def in_lines(content: Mapping[str, Any], organization_id: int) -> list[str]:
    """An edition in lines, to be compared with another."""
    teams = Team.objects.filter(organization_id=organization_id).in_bulk(_team_ids(content))
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in content["settings"].items()]
    for stage in content["stages"]:
        names = [str(teams.get(team, f"team {team}")) for team in [stage["team"], *stage["more_teams"]]]
        joint = " and " if stage["every_team"] else " or "
        lines.append(f"stage {stage['position']}: {stage['votes']} of {joint.join(names)}")
    whats = dict(Rung.What.choices)
    return lines + [f"after {rung['after_minutes']} min: {whats.get(rung['what'])}" for rung in content["rungs"]]
