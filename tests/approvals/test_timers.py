"""What time does to reviews: votes take effect, windows start and end. A clock authorizes nothing else."""

from datetime import timedelta

import pytest

from accounts.models import BusinessCalendar, User
from accounts.roles import Role
from approvals.models import Review, Vote
from approvals.services import object_to
from approvals.states import ReviewState, Verdict
from approvals.timers import leave, settle, settle_due
from auditlog.models import Entry
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib import clock
from tests.factories import Cast, make_case, make_desk, make_review
from tests.plugins.line import Line, make_line, open_review_of, pass_time, vote
from workflows.cases import correct
from workflows.engine.repairing import retry
from workflows.models import Authorization, Case, Run
from workflows.states import CaseState, RunState, Tier
from workflows.tasks import tick

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


@pytest.fixture
def leaving(cast: Cast) -> Review:
    """60.00 that leave in half an hour unless somebody objects."""
    return leaving_in(timedelta(minutes=30), cast)


def leaving_in(length: timedelta, cast: Cast, **fields) -> Review:
    organization = cast.ada.memberships.get().organization
    return make_review(
        make_case(organization, amount="60.00", **fields),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() + length,
    )


def told(review: Review) -> list[str]:
    entries = Entry.objects.filter(subject_kind="review", subject_id=review.pk).order_by("pk")
    return [entry.verb.rpartition(".")[2] for entry in entries]


def states(review: Review) -> tuple[str, str]:
    review.refresh_from_db()
    return review.state, review.tier


# --- the objection window --------------------------------------------------------------------------------------------


def test_a_case_leaves_when_its_window_has_ended(leaving: Review):
    assert leave(leaving.pk) == 0
    assert settle_due() == 0
    pass_time(timedelta(minutes=31))

    assert settle_due() == 1

    assert states(leaving) == (ReviewState.APPROVED, Tier.FAST_TRACK)
    grant = Authorization.objects.get()
    assert (grant.source, grant.amount_minor, grant.granted_by) == (
        "window", 6000, "nobody objected within the window",
    )  # fmt: skip
    assert Run.objects.get().state == RunState.READY
    assert told(leaving) == ["approved"]
    assert leave(leaving.pk) == 0
    assert Authorization.objects.count() == 1


@pytest.mark.parametrize("tier", [Tier.FULL_REVIEW, Tier.INSTANT])
def test_nothing_but_fast_track_ever_leaves(leaving: Review, tier: Tier):
    Review.objects.filter(pk=leaving.pk).update(objection_ends_at=None, tier=tier)
    leaving.refresh_from_db()
    pass_time(timedelta(days=300))

    assert leave(leaving.pk) == 0
    assert settle_due() == 0
    assert not Authorization.objects.exists()


def test_a_window_that_never_began_never_ends(leaving: Review):
    Review.objects.filter(pk=leaving.pk).update(objection_ends_at=None)

    assert leave(leaving.pk) == 0


CHANGES = {"amount_minor": 1, "currency": "EUR", "target": "pi_1", "party": "1", "key": "C1", "data": {"a": 1}}


@pytest.mark.parametrize("field", CHANGES)
def test_a_case_that_changed_does_not_leave_and_is_decided_anew(leaving: Review, field: str):
    Case.objects.filter(pk=leaving.case_id).update(**{field: CHANGES[field]})
    pass_time(timedelta(minutes=31))

    settle_due()
    assert states(leaving)[0] == ReviewState.VOID
    assert not Authorization.objects.exists()
    Run.objects.update(position=2)  # the step that asks for consent
    tick()

    run = Run.objects.get()
    assert (run.state, run.reason) == (
        RunState.FAILED,
        "The content changed after the decision: it has to be decided again.",
    )


def test_a_case_without_a_payment_does_not_leave_and_people_are_asked(cast: Cast):
    review = leaving_in(timedelta(minutes=-1), cast, target="", data={})

    settle_due()

    assert states(review) == (ReviewState.OPEN, Tier.FULL_REVIEW)
    assert not Authorization.objects.exists()


def test_one_review_that_breaks_holds_up_no_other(cast: Cast):
    broken, sound = leaving_in(timedelta(minutes=-1), cast), leaving_in(timedelta(minutes=-1), cast)
    Authorization.objects.create(
        organization_id=broken.organization_id, case=broken.case, run=broken.run, decision=broken.decision,
        source="rule", amount_minor=1, currency="GBP", target="pi_1", content_hash="0", granted_by="a forger",
    )  # fmt: skip

    settle_due()

    assert states(broken)[0] == ReviewState.OPEN
    assert states(sound)[0] == ReviewState.APPROVED


# --- when the window begins ------------------------------------------------------------------------------------------


def asked(line: Line, amount: str = "60.00") -> Review:
    """A fast-track review as the line opens it, its notices written and not yet delivered."""
    case = line.ask(amount)
    tick()
    review = open_review_of(case)
    assert review.tier == Tier.FAST_TRACK
    return review


def mail_of(review: Review) -> Notice:
    found = Notice.objects.filter(topic=f"leaving:{review.pk}", channel="mail").order_by("pk").first()
    assert found is not None
    return found


def delivered(notice: Notice) -> None:
    notice.move_to(NoticeState.DELIVERED, delivered_at=clock.now(), due_at=None)


def test_the_clock_starts_when_the_notice_arrived(line: Line):
    review = asked(line)
    settle_due()
    review.refresh_from_db()
    assert review.objection_ends_at is None

    delivered(mail_of(review))
    settle_due()

    review.refresh_from_db()
    assert timedelta(minutes=29) < review.objection_ends_at - clock.now() <= timedelta(minutes=30)
    assert "window_started" in told(review)
    assert settle_due() == 0  # once


def test_the_window_counts_business_minutes_from_the_arrival(line: Line):
    review = asked(line)
    now = clock.now()
    calendar = BusinessCalendar.objects.get()
    # Nobody works today or tomorrow.
    today = now.astimezone().date()
    calendar.holidays = [today + timedelta(days=days) for days in (-1, 0, 1)]
    calendar.save()

    delivered(mail_of(review))
    settle_due()

    review.refresh_from_db()
    assert review.objection_ends_at > now + timedelta(hours=24)


def test_the_notice_of_another_review_of_the_case_starts_no_clock(line: Line):
    first = asked(line)
    delivered(mail_of(first))
    correct(first.case_id, by=line.cast.tomasz, changes={"amount": "61.00"}, reason="Typed wrongly.")
    tick()
    second = open_review_of(first.case)
    assert second.pk != first.pk

    settle_due()

    second.refresh_from_db()
    assert second.objection_ends_at is None


def test_a_notice_that_arrived_for_an_earlier_review_hides_none_that_was_lost(line: Line):
    first = asked(line)
    delivered(mail_of(first))
    correct(first.case_id, by=line.cast.tomasz, changes={"amount": "61.00"}, reason="Typed wrongly.")
    tick()
    second = open_review_of(first.case)
    for notice in Notice.objects.filter(topic=f"leaving:{second.pk}", channel="mail"):
        notice.move_to(NoticeState.FAILED, due_at=None)

    settle_due()

    assert states(second) == (ReviewState.OPEN, Tier.FULL_REVIEW)


@pytest.mark.parametrize("how", ["refused", "nobody to tell", "never"])
def test_a_notice_that_reaches_nobody_leads_to_people(line: Line, how: str):
    if how == "nobody to tell":
        User.objects.update(email="")
    review = asked(line)
    if how == "refused":
        for notice in Notice.objects.filter(channel="mail"):
            notice.move_to(NoticeState.FAILED, due_at=None)
    elif how == "never":
        pass_time(timedelta(minutes=31))

    settle_due()

    assert states(review) == (ReviewState.OPEN, Tier.FULL_REVIEW)
    assert "window_failed" in told(review)
    assert line.refunds() == []


def test_one_notice_of_several_that_arrived_is_enough(line: Line):
    review = asked(line)
    first, *others = Notice.objects.filter(topic=f"leaving:{review.pk}", channel="mail")
    assert others
    for notice in others:
        notice.move_to(NoticeState.FAILED, due_at=None)
    delivered(first)

    settle_due()

    review.refresh_from_db()
    assert review.objection_ends_at is not None


def test_a_calendar_that_never_opens_stops_its_own_windows_only(line: Line, gateway, settings):
    other = make_line(gateway, settings, slug="other")
    reviews = [asked(line), asked(other)]
    BusinessCalendar.objects.filter(organization=line.organization).update(weekdays=[])
    for review in reviews:
        delivered(mail_of(review))

    settle_due()

    ends = [Review.objects.get(pk=review.pk).objection_ends_at for review in reviews]
    assert (ends[0] is None, ends[1] is None) == (True, False)
    pass_time(timedelta(minutes=31))
    settle_due()
    assert states(reviews[0]) == (ReviewState.OPEN, Tier.FULL_REVIEW)


def test_an_objection_before_the_clock_started_counts(line: Line):
    review = asked(line)
    object_to(review.pk, by=line.cast.maya, text="")
    delivered(mail_of(review))

    settle_due()
    pass_time(timedelta(days=1))
    settle_due()

    assert states(review) == (ReviewState.OPEN, Tier.FULL_REVIEW)


# --- votes that take effect ------------------------------------------------------------------------------------------


@pytest.fixture
def approving(line: Line) -> Review:
    """141.48 approved by Ada, a moment before it takes effect."""
    review = waiting(line)
    vote(review, line.cast.ada)
    pass_time(timedelta(seconds=11))
    return review


def waiting(line: Line) -> Review:
    case = line.ask("141.48")
    tick()
    return open_review_of(case)


def lose(user: User, how: str) -> None:
    """Take the right to decide from somebody."""
    match how:
        case "ended":
            user.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=user.pk).update(is_active=False)
        case "role":
            user.memberships.update(role=Role.AUDITOR)


@pytest.mark.parametrize("how", ["ended", "inactive", "role"])
def test_a_voter_who_lost_the_right_before_it_took_effect_carries_nothing(line: Line, approving: Review, how: str):
    lose(line.cast.ada, how)

    line.work()

    assert states(approving)[0] == ReviewState.VOID
    assert line.refunds() == []
    again = open_review_of(approving.case)
    assert again.decision_id == approving.decision_id
    vote(again, line.cast.ben)
    line.let_pass(seconds=11)
    assert Case.objects.get().state == CaseState.DONE
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("how", ["ended", "inactive", "role"])
def test_a_voter_who_lost_the_right_before_the_money_was_held_carries_nothing(line: Line, approving: Review, how: str):
    settle(approving.pk)
    assert Authorization.objects.count() == 1
    lose(line.cast.ada, how)

    line.work()

    assert line.refunds() == []
    run = Run.objects.get()
    assert (run.state, run.reason) == (
        RunState.FAILED,
        "Ada Okafor approved this and may no longer decide: it has to be decided again.",
    )
    retry(run.pk, by=line.cast.maya, reason="Ben looks at it.")
    line.work()
    vote(open_review_of(approving.case), line.cast.ben)
    line.let_pass(seconds=11)
    assert Case.objects.get().state == CaseState.DONE
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("field", CHANGES)
def test_a_case_that_changed_after_the_vote_is_asked_about_again(line: Line, approving: Review, field: str):
    Case.objects.filter(pk=approving.case_id).update(**{field: CHANGES[field]})

    line.work()

    assert states(approving)[0] == ReviewState.VOID
    assert line.refunds() == []
    assert not Authorization.objects.exists()
    assert Run.objects.get().state == RunState.FAILED


def test_facts_that_changed_after_the_vote_block_it(line: Line, approving: Review):
    run = Run.objects.get()
    run.facts["payment.left"]["value"] = 1
    run.save(update_fields=["facts"])

    line.work()

    assert states(approving)[0] == ReviewState.VOID
    assert line.refunds() == []


def test_a_rejection_closes_the_case_with_who(line: Line):
    review = waiting(line)
    vote(review, line.cast.ben, Verdict.REJECT)
    line.let_pass(seconds=11)

    case = Case.objects.get()
    assert (case.state, case.standing) == (CaseState.REJECTED, "Rejected by Ben Marsh.")
    assert line.refunds() == []
    line.assert_sound()


def test_two_people_are_named_as_the_two(line: Line):
    review = waiting(line)
    review.settings.stages.update(votes=2)
    vote(review, line.cast.ada)
    vote(review, line.cast.ben)
    line.let_pass(seconds=11)

    assert Authorization.objects.get().granted_by == "Ada Okafor and Ben Marsh"
    assert Vote.objects.count() == 2
    line.assert_sound()
