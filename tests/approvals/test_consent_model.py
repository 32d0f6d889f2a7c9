"""Consent under all that people do, in any order: whatever is sent was approved by those who may, over just that.

Beside the desk stands a small model of who may vote on what, and of what was asked when a review was opened. A vote
that the desk takes, the model must allow; money that the desk plans to send must rest on votes that the model still
allows. I7 and I10 are asked after every step.
"""

from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from accounts.roles import Role
from approvals import asking, services, terms, timers
from approvals.models import Ceiling, Review, Stage, TierSettings, Vote
from approvals.services import Rationale
from approvals.states import REVIEW_FINAL, ReviewState, Verdict
from integrations.models import Action
from opsdesk.invariants import check_all
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from tests.factories import make_case, make_desk, make_member, make_payment, make_review, make_run
from tests.plugins.line import pass_time
from workflows.engine.running import advance, claim
from workflows.models import Case, Correction, Run
from workflows.states import RunState, Tier

pytestmark = pytest.mark.django_db
APPROVE = 2  # position of the step that asks for consent
NAMES = ["ada", "ben", "maya", "twin", "tomasz"]
PEOPLE = strategies.sampled_from(NAMES)
PENCE = strategies.integers(-1, 20_000)


class Consent(RuleBasedStateMachine):
    """One desk: five accounts of four people, requests of some of them, and a policy drawn for it."""

    cases = Bundle("cases")

    def __init__(self) -> None:
        super().__init__()
        self.all_undone = transaction.atomic()
        self.all_undone.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.all_undone.__exit__(None, None, None)

    @initialize(votes=strategies.integers(1, 3), stages=strategies.integers(1, 2), text=strategies.booleans())
    def open_desk(self, votes: int, stages: int, text: bool) -> None:
        self.organization, _ = make_desk()
        team = self.organization.teams.get(slug="refunds")
        twin = make_member(self.organization, "twin", Role.OPERATOR, teams=(team,))
        User.objects.filter(pk=twin.pk).update(person=None)
        TierSettings.objects.update(text_needed=text)
        Stage.objects.update(votes=votes)
        for tier in TierSettings.objects.all() if stages == 2 else ():
            Stage.objects.create(tier=tier, team=team, votes=1, position=1)
        # The model: who is who, who holds the right, who is in the team; who is barred from which case.
        self.person = {name: name for name in NAMES}
        self.right = {"ada", "ben", "maya", "twin"}
        self.team = {"ada", "ben", "maya", "twin"}
        self.involved: dict[int, set[str]] = {}
        self.votes, self.later_stages = votes, stages - 1
        # What every review asked for when it was opened, and the lowest ceiling of each account since.
        self.needed: dict[int, int] = {}
        self.ceiling: dict[str, int] = {}
        self.lowest: dict[int, dict[str, int]] = {}
        self.seen_actions: set[int] = set()

    def user(self, name: str) -> User:
        return User.objects.get(username=name)

    def may_vote(self, name: str, case_id: int, review: Review | None = None) -> bool:
        barred = {self.person[other] for other in self.involved[case_id]}
        may = name in self.right and name in self.team and self.person[name] not in barred
        return may and Case.objects.get(pk=case_id).amount_minor <= self.limit_of(name, review or self.newest(case_id))

    def limit_of(self, name: str, review: Review) -> int:
        """The lowest ceiling of the person, by whichever account, since the review was opened."""
        own = [limit for other, limit in self.lowest[review.pk].items() if self.person[other] == self.person[name]]
        return min(own, default=10**9)

    def open_review(self, case: Case, **fields: object) -> Review:
        """A review that keeps what is asked for now."""
        tiers = {fields.get("tier", Tier.FULL_REVIEW), Tier.FULL_REVIEW}
        review = make_review(case, terms=terms.kept(self.organization.pk, tiers), **fields)
        self.note_new_reviews()
        return review

    def note_new_reviews(self) -> None:
        """Keep what is asked for now with every review that was opened in this step."""
        for pk in Review.objects.exclude(pk__in=self.needed).values_list("pk", flat=True):
            self.needed[pk] = self.votes + self.later_stages
            self.lowest[pk] = dict(self.ceiling)

    def attempt(self, step: partial) -> bool:
        """Whether the desk did it; a refusal changes nothing."""
        try:
            with transaction.atomic():
                step()
        except DomainError:
            return False
        return True

    def newest(self, case_id: int) -> Review:
        return Review.objects.filter(case=case_id).order_by("-pk").first()

    @rule(target=cases, by=strategies.none() | PEOPLE, gets=strategies.none() | PEOPLE, tier=strategies.sampled_from(
        [Tier.FULL_REVIEW, Tier.FAST_TRACK]))  # fmt: skip
    def request(self, by: str | None, gets: str | None, tier: Tier) -> int:
        """Somebody asks for money back, for a customer or for a colleague."""
        case = make_case(
            self.organization,
            requested_by_user=self.user(by) if by else None,
            **({"party": gets.upper()} if gets else {}),
        )
        make_payment(case, captured="200.00")
        make_run(case, state=RunState.WAITING, position=APPROVE)
        ends = clock.now() + timedelta(minutes=30) if tier == Tier.FAST_TRACK else None
        self.open_review(case, tier=tier, objection_ends_at=ends)
        self.involved[case.pk] = {name for name in (by, gets) if name}
        return case.pk

    @rule(case=cases, who=PEOPLE, verdict=strategies.sampled_from(Verdict), pence=strategies.none() | PENCE)
    def vote(self, case: int, who: str, verdict: Verdict, pence: int | None) -> None:
        """Somebody clicks on what the page shows, perhaps approving a part."""
        review = self.newest(case)
        voters_before = {self.person[vote.voter.username] for vote in self.standing(review)}
        code = self.organization.reason_codes.filter(verdict=verdict).order_by("text_needed").first()
        done = self.attempt(
            partial(
                services.decide, review.pk, voter=self.user(who), verdict=verdict,
                rationale=Rationale(code, "A sentence that is long enough."), seen=review.content_hash,
                amount=Money(pence, "GBP") if pence is not None else None,
            )
        )  # fmt: skip
        if done:
            assert self.may_vote(who, case)
            assert self.person[who] not in voters_before
            assert pence is None or 0 < pence <= Case.objects.get(pk=case).amount_minor

    def standing(self, review: Review) -> list[Vote]:
        return list(Vote.objects.filter(review=review, withdrawn_at=None).select_related("voter"))

    @rule(case=cases, who=PEOPLE, what=strategies.sampled_from(["take back", "object", "escalate", "ask", "answer"]))
    def other_verb(self, case: int, who: str, what: str) -> None:
        """The other things one may press."""
        review, user = self.newest(case), self.user(who)
        question = review.questions.order_by("-pk").first()
        match what:
            case "take back":
                self.attempt(partial(services.take_back, review.pk, voter=user))
            case "object":
                self.attempt(partial(services.object_to, review.pk, by=user, text=""))
            case "escalate":
                self.attempt(partial(services.escalate, review.pk, by=user, text=""))
            case "ask":
                self.attempt(partial(asking.ask, review.pk, by=user, text="Which one?"))
            case "answer" if question is not None:
                self.attempt(partial(asking.answer_by_person, question.pk, by=user, text="This one."))

    @rule(case=cases, to=PEOPLE, by=PEOPLE)
    def give(self, case: int, to: str, by: str) -> None:
        """Somebody gives it to somebody: that makes nobody eligible."""
        done = self.attempt(partial(services.reassign, self.newest(case).pk, to=self.user(to), by=self.user(by)))
        assert not done or self.may_vote(to, case)

    @rule(case=cases, who=PEOPLE, minor=strategies.integers(1, 20_000))
    def correct(self, case: int, who: str, minor: int) -> None:
        """Somebody changes the amount through the desk: consent is void, and asked for anew."""
        row = Case.objects.get(pk=case)
        run = Run.objects.get(case=case)
        if run.state != RunState.WAITING or run.waits_for != "review":
            return
        Correction.objects.create(case=row, user=self.user(who), before={}, after={}, reason="It was wrong.")
        services.void_open(row, "Corrected.")
        Case.objects.filter(pk=case).update(amount_minor=minor)
        self.open_review(Case.objects.get(pk=case))
        self.involved[case].add(who)

    @rule(case=cases, minor=strategies.integers(1, 20_000))
    def change_behind_the_desk(self, case: int, minor: int) -> None:
        """The content becomes another without anybody being asked."""
        Case.objects.filter(pk=case).update(amount_minor=minor)

    @rule(who=PEOPLE, how=strategies.sampled_from(["role", "team", "account", "all back"]))
    def rights(self, who: str, how: str) -> None:
        """Rights are taken away and given back."""
        user, team = self.user(who), self.organization.teams.get(slug="refunds")
        if who == "tomasz":
            return
        match how:
            case "role":
                user.memberships.update(role=Role.VIEWER)
                self.right.discard(who)
            case "team":
                team.members.remove(user)
                self.team.discard(who)
            case "account":
                User.objects.filter(pk=user.pk).update(is_active=False)
                self.right.discard(who)
            case _:
                User.objects.filter(pk=user.pk).update(is_active=True)
                user.memberships.update(role=Role.OPERATOR)
                team.members.add(user)
                self.right.add(who)
                self.team.add(who)

    @rule(votes=strategies.integers(1, 3))
    def another_policy(self, votes: int) -> None:
        """The tiers ask for more votes, or for fewer: fewer only of what is opened from then on."""
        Stage.objects.filter(position=0).update(votes=votes)
        self.votes = votes

    @rule(who=PEOPLE, minor=strategies.none() | strategies.integers(0, 20_000))
    def another_ceiling(self, who: str, minor: int | None) -> None:
        """Somebody may decide less, or more: more only of what is opened from then on."""
        user = self.user(who)
        Ceiling.objects.filter(user=user, ended_at=None).update(ended_at=Now())
        self.ceiling.pop(who, None)
        if minor is None:
            return
        Ceiling.objects.create(organization=self.organization, user=user, currency="GBP", amount_minor=minor)
        self.ceiling[who] = minor
        for limits in self.lowest.values():
            limits[who] = min(minor, limits.get(who, minor))

    @rule(who=strategies.sampled_from(["ada", "ben", "maya"]))
    def find_out_the_twin(self, who: str) -> None:
        """Two accounts turn out to be one person; what was closed before is closed, so only where neither took part."""
        if self.person["twin"] != "twin":
            return
        closed = Vote.objects.filter(review__state__in=[ReviewState.APPROVED, ReviewState.REJECTED])
        if closed.filter(voter__username__in=["twin", who]).exists():
            return
        User.objects.filter(username="twin").update(person=self.user(who).person)
        self.person["twin"] = self.person[who]

    @rule(minutes=strategies.sampled_from([0.1, 1, 40]))
    def time_passes(self, minutes: float) -> None:
        """Votes take effect, windows end, and workers carry out what is due."""
        pass_time(timedelta(minutes=minutes))
        timers.settle_due()
        while runs := claim():
            advance(runs)
        self.note_new_reviews()
        for action in Action.objects.exclude(pk__in=self.seen_actions).select_related("authorization", "case", "run"):
            self.check_sent(action)
            self.seen_actions.add(action.pk)
        self.ask_again()

    def ask_again(self) -> None:
        """A run whose consent was void asks anew, as the approving step does."""
        for run in Run.objects.filter(state=RunState.WAITING, waits_for="review"):
            if not Review.objects.filter(run=run).exclude(state__in=REVIEW_FINAL).exists():
                self.open_review(run.case)

    def check_sent(self, action: Action) -> None:
        grant = action.authorization
        assert grant.decision.content_hash == action.case.content_hash(action.run.facts)
        assert grant.content_hash == action.case.content_hash(action.run.facts, grant.amount_minor)
        assert action.amount_minor == grant.amount_minor <= action.case.amount_minor
        review = Review.objects.get(decision=grant.decision_id, state=ReviewState.APPROVED)
        if grant.source == "window":
            assert review.tier == Tier.FAST_TRACK
            return
        votes = self.standing(review)
        assert grant.source == "people"
        assert {vote.verdict for vote in votes} == {Verdict.APPROVE}
        assert len({self.person[vote.voter.username] for vote in votes}) == len(votes) >= self.needed[review.pk]
        assert all(self.may_vote(vote.voter.username, action.case_id, review) for vote in votes)
        assert all(vote.amount_minor is None or vote.amount_minor >= action.amount_minor for vote in votes)

    @invariant()
    def i7_and_i10_hold(self) -> None:
        found = {finding.name: finding.wrong for finding in check_all(only={"I7", "I10"})}
        assert found == {"I7": [], "I10": []}


@pytest.mark.parametrize(
    ("examples", "steps"), [(6, 16), pytest.param(500, 40, marks=pytest.mark.long)]
)  # fmt: skip
def test_nothing_that_people_do_moves_money_without_consent(examples: int, steps: int):
    run_state_machine_as_test(
        Consent,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
