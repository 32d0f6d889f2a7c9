"""What a review asks for: as its tiers did when it was opened, or stricter where they have become stricter since.

Making a tier milder has no effect on what is open already. Making it stricter has: more votes, a longer text and a
longer objection window count from then on, and a stage of teams that were not asked before is asked last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q, Value

from accounts.models import Team
from approvals.models import Review, Stage, TierSettings
from approvals.stages import AskedStage
from approvals.states import ReviewState


@dataclass(frozen=True, slots=True)
class StageTerms:
    """Whose votes one stage asks for: teams by their keys."""

    teams: tuple[int, ...]
    votes: int
    every_team: bool = False
    key: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What one tier asks for."""

    objection_minutes: int
    undo_seconds: int
    text_needed: bool
    text_minimum: int
    second_look: bool = False
    stages: tuple[StageTerms, ...] = ()


def kept(organization_id: int, tiers: Iterable[str]) -> dict[str, Any]:
    """What these tiers ask for now, by tier, to be stored on a review that is being opened."""
    rows = TierSettings.objects.filter(organization_id=organization_id, tier__in=list(tiers))
    found = {row.pk: row for row in rows}
    stages = _live_stages(found)
    return {row.tier: asdict(_terms(row, stages.get(row.pk, ()))) for row in found.values()}


def of(review: Review) -> Terms:
    """What the review asks for now. Its settings should be loaded."""
    return _of(review, _live_stages([review.settings_id]))


def as_asked(review: Review) -> dict[str, Any]:
    """What an open review has come to ask for, to be stored on it as it is decided."""
    return {**review.terms, review.tier: asdict(of(review))}


def stages_of(review: Review) -> list[AskedStage]:
    """The review's stages in order."""
    return stages_of_each([review])[review.pk]


def stages_of_each(reviews: Iterable[Review]) -> dict[int, list[AskedStage]]:
    """The stages of several reviews by their keys, read together. Their settings should be loaded."""
    listed = list(reviews)
    live = _live_stages({review.settings_id for review in listed})
    return with_teams({review.pk: _of(review, live) for review in listed})


def with_teams(terms: Mapping[int, Terms]) -> dict[int, list[AskedStage]]:
    """The stages of terms with their teams, by the keys of their reviews."""
    asked = {key: each.stages for key, each in terms.items()}
    teams = Team.objects.in_bulk({team for stages in asked.values() for stage in stages for team in stage.teams})
    return {
        key: [
            AskedStage(tuple(teams[team] for team in stage.teams if team in teams), stage.votes, stage.every_team)
            for stage in stages
        ]
        for key, stages in asked.items()
    }


def _of(review: Review, live_stages: Mapping[int, tuple[StageTerms, ...]]) -> Terms:
    live = _terms(review.settings, live_stages.get(review.settings_id, ()))
    stored = review.terms.get(review.tier)
    if stored and review.state != ReviewState.OPEN:
        # What was decided was decided on these terms.
        return _read(stored)
    # A review that was opened by older code, or whose tier was set up since, has only what is said now.
    return stricter_of(_read(stored), live) if stored else live


def stricter_of(first: Terms, now: Terms) -> Terms:
    """The terms a review was opened with, and what asks for more now."""
    left = list(now.stages)
    stages = []
    for stage in first.stages:
        same = next((other for other in left if set(other.teams) == set(stage.teams)), None)
        if same is None:
            stages.append(stage)
            continue
        left.remove(same)
        every_team = stage.every_team or same.every_team
        stages.append(replace(stage, votes=max(stage.votes, same.votes), every_team=every_team))
    return Terms(
        objection_minutes=max(first.objection_minutes, now.objection_minutes),
        undo_seconds=first.undo_seconds,
        text_needed=first.text_needed or now.text_needed,
        text_minimum=max(first.text_minimum, now.text_minimum),
        second_look=first.second_look or now.second_look,
        # In the order in which they were added, so that the place of a stage somebody has voted in does not change.
        stages=(*stages, *sorted(left, key=lambda stage: stage.key)),
    )


def _live_stages(settings_ids: Iterable[int]) -> dict[int, tuple[StageTerms, ...]]:
    """The stages of tiers as they are set up now."""
    more = ArrayAgg("more_teams__pk", filter=Q(more_teams__isnull=False), default=Value([]))
    rows = Stage.objects.filter(tier_id__in=list(settings_ids)).annotate(more=more).order_by("tier", "position")
    found: dict[int, tuple[StageTerms, ...]] = {}
    for row in rows:
        teams = (row.team_id, *sorted(set(row.more) - {row.team_id}))
        found[row.tier_id] = (*found.get(row.tier_id, ()), StageTerms(teams, row.votes, row.every_team, row.pk))
    return found


def _terms(row: TierSettings, stages: tuple[StageTerms, ...]) -> Terms:
    return Terms(row.objection_minutes, row.undo_seconds, row.text_needed, row.text_minimum, row.second_look, stages)


def _read(stored: Mapping[str, Any]) -> Terms:
    stages = tuple(StageTerms(**{**each, "teams": tuple(each["teams"])}) for each in stored["stages"])
    return Terms(**{**stored, "stages": stages})
