"""Who may vote on what. Nobody votes on what they asked for, would get, or changed; one person has one vote."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property, reduce
from operator import or_

from django.db.models import Count, Q
from django.db.models.functions import Coalesce

from accounts.models import Membership, Team, User
from accounts.roles import Permission, roles_with
from approvals import absences, ceilings, reversals, terms
from approvals.errors import AboveCeiling, NotAVoter, SelfApproval, VotedBefore
from approvals.models import Absence, Review, Vote
from approvals.stages import AskedStage
from approvals.states import ReviewState, Verdict
from workflows.models import Correction, Run

_DECIDING_ROLES = roles_with(Permission.DECIDE)


def person_key(user: User) -> str:
    """The human being behind an account."""
    return user.person_key


def stage_of(review: Review) -> AskedStage:
    """The stage that votes now. Raises NotAVoter when the tier has none."""
    stages = terms.stages_of(review)
    if review.stage >= len(stages):
        raise NotAVoter(f"The tier {review.settings} names nobody to decide this: an admin has to add a stage.")
    return stages[review.stage]


def belongings(stage: AskedStage, people: Iterable[int]) -> list[set[int]]:
    """For each of these people the teams of the stage to which they belong now."""
    found: dict[int, set[int]] = {person: set() for person in people}
    members = Team.members.through.objects.filter(team_id__in=stage.team_ids, user_id__in=found)
    for team_id, user_id in members.values_list("team_id", "user_id"):
        found[user_id].add(team_id)
    return list(found.values())


def standing_in(review: Review, stage: AskedStage, place: int) -> list[set[int]]:
    """Whose approvals stand in one stage of the review: for each voter the teams they speak for."""
    votes = review.votes.filter(stage=place, verdict=Verdict.APPROVE, withdrawn_at=None)
    people = list(votes.values_list(Coalesce("absence__user_id", "voter_id"), flat=True))
    return belongings(stage, people) if stage.every_team else [set() for _ in people]


def teams_asked(review: Review, stage: AskedStage) -> list[Team]:
    """The teams from which a vote brings the review's present stage forward, in their order."""
    wanted = stage.wanted(standing_in(review, stage, review.stage))
    return [team for team in stage.teams if team.pk in wanted]


def lacking_stage(review: Review) -> int | None:
    """The place of the first stage that still lacks votes; None when the review has them all."""
    for place, stage in enumerate(terms.stages_of(review)):
        if not stage.is_passed(standing_in(review, stage, place)):
            return place
    return None


def voted_in(review: Review) -> set[str]:
    """Keys of the people whose votes stand, or in whose place somebody voted, as known then and as known now."""
    return _voted_in_each([review])[review.pk]


def _voted_in_each(reviews: Sequence[Review]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {review.pk: set() for review in reviews}
    votes = Vote.objects.filter(review__in=reviews, withdrawn_at=None).select_related("voter", "absence__user")
    for vote in votes:
        found[vote.review_id] |= keys_of(vote)
    return found


def keys_of(vote: Vote) -> set[str]:
    """The people who are spent by a vote: who cast it, and whose place it took."""
    keys = {vote.person_key, person_key(vote.voter)}
    return keys | {person_key(vote.absence.user)} if vote.absence is not None else keys


def cases_behind(run_ids: Iterable[int]) -> dict[int, set[int]]:
    """Of runs that a step of another run began: the cases of that one, of the one that began it, and so on."""
    found: dict[int, set[int]] = {}
    level = {run_id: {run_id} for run_id in run_ids}  # a run on the way up → the runs that are asked about
    while level:
        begun = Run.objects.filter(pk__in=level, parent__isnull=False)
        higher: dict[int, set[int]] = {}
        for run_id, parent_id, case_id in begun.values_list("pk", "parent__pk", "parent__case_id"):
            higher.setdefault(parent_id, set()).update(level[run_id])
            for asked in level[run_id]:
                found.setdefault(asked, set()).add(case_id)
        level = higher
    return found


def involved_in(review: Review) -> set[str]:
    """Keys of the people who asked for the case or changed its content, or that of a case it was begun for.

    For a case that takes something back, also of those who approved that: nobody judges their own approval.
    """
    return _involved_in_each([review])[review.pk]


def _involved_in_each(reviews: Sequence[Review]) -> dict[int, set[str]]:
    """The same for several reviews. Their cases and runs should be loaded, with the people named there."""
    begun = [review.run_id for review in reviews if review.run.parent_id]
    behind = cases_behind(begun) if begun else {}
    cases = {review.pk: {review.case_id, *behind.get(review.run_id, set())} for review in reviews}
    correctors: dict[int, set[str]] = {}
    for correction in Correction.objects.filter(case__in=set().union(*cases.values())).select_related("user"):
        correctors.setdefault(correction.case_id, set()).add(person_key(correction.user))
    accounts = _accounts_called({review.case.party for review in reviews})
    before = reversals.approved_before(review.case for review in reviews)
    return {
        review.pk: {
            *(key for case in cases[review.pk] for key in correctors.get(case, set())),
            *_who_asked(review),
            *accounts.get(review.case.party, set()),
            *(key for vote in before.get(review.case_id, ()) for key in keys_of(vote)),
        }
        for review in reviews
    }


def _who_asked(review: Review) -> Iterator[str]:
    if review.case.requested_by_user is not None:
        yield person_key(review.case.requested_by_user)
    if review.run.trigger_id is not None and review.run.version.published_by is not None:
        # Whoever put a trigger in force asked for all that it begins.
        yield person_key(review.run.version.published_by)


def _accounts_called(parties: Iterable[str]) -> dict[str, set[str]]:
    """Customers who have an account of the desk are beneficiaries: the keys of those people, by customer."""
    named = [party for party in parties if party]
    any_of_them = reduce(or_, (Q(username__iexact=party) for party in named), Q(pk__in=[]))
    if not User.objects.filter(any_of_them).exists():
        return {}
    return {party: {person_key(user) for user in User.objects.filter(username__iexact=party)} for party in named}


def holds_right(user: User, organization_id: int) -> bool:
    """Whether the person may decide in this organization now; asked afresh each time."""
    return (
        Membership.objects.active()
        .filter(user_id=user.pk, organization_id=organization_id, role__in=_DECIDING_ROLES)
        .exists()
    )


def why_lost(votes: Iterable[Vote]) -> str:
    """Why these votes on a review no longer carry it, as roles, teams and people are known now; "" when they do."""
    seen: set[str] = set()
    for vote in votes:
        review, voter = vote.review, vote.voter
        seat = vote.absence.user if vote.absence is not None else voter
        keys, involved = keys_of(vote), involved_in(review)
        if {vote.person_key, person_key(voter)} & involved:
            return f"{voter} approved this and asked for it or changed its content"
        if keys & involved:
            return f"{voter} approved this for {seat}, who asked for it or changed its content"
        if keys & seen:
            return f"{voter} approved this with two accounts"
        stages = terms.stages_of(review)[vote.stage : vote.stage + 1]
        in_team = any(any(belongings(stage, [seat.pk])) for stage in stages)
        called_off = vote.absence is not None and vote.absence.ended_at is not None
        rights = absences.may_decide({voter.pk, seat.pk}, review.organization_id)
        if not in_team or called_off or rights != {voter.pk, seat.pk}:
            return f"{voter} approved this and may no longer decide"
        for limited, why in ceilings.why_above(review, {voter, seat}).items():
            whom = "" if limited == voter.pk else f" for {seat}"
            return f"{voter} approved this{whom}, and {why}, their ceiling"
        seen |= keys
    return ""


class Ground:
    """What it is judged by whether a person may vote on reviews of one organization, read for all of them together."""

    def __init__(self, user: User, reviews: Sequence[Review]) -> None:
        """`reviews` must not be empty; their cases and runs should be loaded."""
        self._user, self._organization_id = user, reviews[0].organization_id
        self.involved = _involved_in_each(reviews)
        self.voted = _voted_in_each(reviews)
        self.right = holds_right(user, self._organization_id)
        self.teams = frozenset(user.teams.values_list("pk", flat=True))
        self.ceilings = ceilings.of_people([user], self._organization_id)

    @cached_property
    def stands_in(self) -> list[Absence]:
        """For whom they vote today; only asked when their own seat does not do."""
        return absences.stood_in_for(self._user, self._organization_id)


def check_voter(review: Review, stage: AskedStage, user: User, ground: Ground | None = None) -> Absence | None:
    """Raise SelfApproval, NotAVoter or VotedBefore unless the person may vote in this stage now.

    Gives the absence by which they vote in somebody's place; None when they vote in their own.
    """
    ground = ground or Ground(user, [review])
    involved, voted = ground.involved[review.pk], ground.voted[review.pk]
    if person_key(user) in involved:
        raise SelfApproval
    speaks_for = ground.teams & stage.team_ids
    refusal = f"Only {stage.names} decides this, and you are not in it."
    if not ground.right:
        raise NotAVoter(refusal)
    for why in ceilings.why_above(review, [user], ground.ceilings).values():
        raise AboveCeiling(f"This is above what you may decide ({why}): somebody else has to.")
    if speaks_for:
        if person_key(user) in voted:
            raise VotedBefore
        if not stage.every_team or speaks_for & {team.pk for team in teams_asked(review, stage)}:
            return None
        refusal = _heard(review, stage)
    for absence in ground.stands_in:
        why_not = _why_no_seat(review, stage, absence, involved, voted)
        if why_not is None and person_key(user) not in voted:
            return absence
        refusal = why_not or VotedBefore.message
    raise NotAVoter(refusal)


def _heard(review: Review, stage: AskedStage) -> str:
    others = " and ".join(str(team) for team in teams_asked(review, stage))
    return f"Your team has been heard; now {others} decides this."


def _why_no_seat(
    review: Review, stage: AskedStage, absence: Absence, involved: Collection[str], voted: Collection[str]
) -> str | None:
    """Why nobody votes in the place of whoever is away, in this stage; None when somebody may."""
    absent = absence.user
    if person_key(absent) in involved:
        return f"{absent}, for whom you stand in, asked for this or changed its content."
    speaks_for = belongings(stage, [absent.pk])[0]
    if not holds_right(absent, review.organization_id) or not speaks_for:
        return f"Only {stage.names} decides this, and neither you nor {absent} is in it."
    if stage.every_team and not speaks_for & {team.pk for team in teams_asked(review, stage)}:
        return _heard(review, stage)
    if person_key(absent) in voted:
        return f"{absent}, for whom you stand in, has voted on this already."
    for why in ceilings.why_above(review, [absent]).values():
        return f"This is above what {absent}, for whom you stand in, may decide: {why}."
    if not absence.covers(review.case.amount):
        return f"You stand in for {absent} up to {absence.ceiling}."
    return None


def eligible(review: Review, stage: AskedStage) -> list[User]:
    """Everybody who is here and could still vote in the stage, the least busy first; then those who stand in."""
    involved, voted = involved_in(review), voted_in(review)
    barred = involved | voted
    away = absences.away_today(review.organization_id)
    open_now = Q(reviews_assigned__state=ReviewState.OPEN)
    in_teams = Team.members.through.objects.filter(team__in=teams_asked(review, stage)).values("user_id")
    members = (
        User.objects.filter(
            pk__in=in_teams,
            is_active=True,
            memberships__organization_id=review.organization_id,
            memberships__ended_at=None,
            memberships__role__in=_DECIDING_ROLES,
        )
        .annotate(busy=Count("reviews_assigned", filter=open_now, distinct=True))
        .order_by("busy", "pk")
    )
    able = ceilings.spared(review, (user for user in members if person_key(user) not in barred))
    present = [user for user in able if user.pk not in away]
    missing = {absence.pk: absence for user in able if (absence := away.get(user.pk)) is not None and absence.delegate}
    stand_ins = [
        absence.delegate
        for absence in missing.values()
        if absence.delegate is not None
        and absence.delegate_id not in away
        and person_key(absence.delegate) not in barred
        and absence.delegate not in present
        and holds_right(absence.delegate, review.organization_id)
        and _why_no_seat(review, stage, absence, involved, voted) is None
    ]
    return [*present, *ceilings.spared(review, dict.fromkeys(stand_ins))]


def why_nobody(review: Review, stage: AskedStage) -> str:
    """Why nobody is here to vote in a stage: all who may are away, or none may."""
    away = absences.away_today(review.organization_id)
    barred = involved_in(review) | voted_in(review)
    members = User.objects.filter(pk__in=away, teams__in=stage.team_ids).distinct()
    able = [user for user in members if person_key(user) not in barred]
    if any(holds_right(user, review.organization_id) for user in able):
        return f"Everybody in {stage.names} who may vote on this case is away."
    here = User.objects.filter(teams__in=stage.team_ids).exclude(pk__in=away).distinct()
    able = [user for user in here if person_key(user) not in barred and holds_right(user, review.organization_id)]
    if able and not ceilings.spared(review, able):
        return f"It is above what anybody in {stage.names} may decide, or may still approve today."
    return f"Nobody in {stage.names} may vote on this case."


def names(users: Iterable[User], *, joint: str = "or") -> str:
    """People in a sentence."""
    listed = [str(user) for user in users]
    return ", ".join(listed[:-1]) + (f" {joint} " if len(listed) > 1 else "") + listed[-1] if listed else "nobody"
