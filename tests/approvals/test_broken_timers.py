"""What time does to reviews, and breaks: tried some times with pauses, then shown to people, who let it go on."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, transaction
from django.urls import reverse

from accounts.models import Organization
from approvals import ladder, pushing, rungs, services, snoozing, timers
from approvals.models import Review, Rung, Setback, TierSettings
from approvals.states import ReviewState, Timer
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.lib import clock
from opsdesk.watch import due
from tests.factories import Cast, make_case, make_review
from tests.opsdesk.test_stalled_page import found
from workflows.states import Tier

HOUR = timedelta(hours=1)


def beat() -> int:
    return timers.settle_due() + pushing.give_out() + ladder.climb()


def rejecting(organization: Organization, cast: Cast) -> Review:
    review = make_review(make_case(organization))
    Review.objects.filter(pk=review.pk).update(
        state=ReviewState.REJECTING, settles_at=clock.now() - HOUR, decided_by=cast.ada
    )
    return review


def leaving(organization: Organization, cast: Cast, **fields) -> Review:
    return make_review(make_case(organization, amount="60.00"), tier=Tier.FAST_TRACK, **fields)


def arrived(organization: Organization, cast: Cast) -> Review:
    review = leaving(organization, cast)
    Notice.objects.create(
        organization=organization, recipient=cast.ada, case=review.case, channel="mail", topic=f"leaving:{review.pk}",
        subject="It leaves", body="It leaves.", path="/", state="delivered", due_at=None, delivered_at=clock.now(),
    )  # fmt: skip
    return review


def put_off(organization: Organization, cast: Cast) -> Review:
    slept = {"snoozed_until": clock.now() - HOUR, "snoozed_by": cast.ben}
    return make_review(make_case(organization), assignee=cast.ada, **slept)


def on_a_ladder(organization: Organization, cast: Cast) -> Review:
    review = make_review(make_case(organization), assignee=cast.ada, opened_at=clock.now() - timedelta(minutes=11))
    rungs.begin(review)
    return review


# By timer: a review for which its time has come, and how it looks once that was done.
DUE: dict[Timer, tuple[Callable[[Organization, Cast], Review], Callable[[Review], bool]]] = {
    Timer.SETTLE: (rejecting, lambda review: review.state == ReviewState.REJECTED),
    Timer.LEAVE: (
        lambda organization, cast: leaving(organization, cast, objection_ends_at=clock.now() - HOUR),
        lambda review: review.state == ReviewState.APPROVED,
    ),
    Timer.WINDOW: (arrived, lambda review: review.objection_ends_at is not None),
    Timer.UNTOLD: (leaving, lambda review: review.tier == Tier.FULL_REVIEW),
    Timer.WAKE: (put_off, lambda review: review.snoozed_until is None),
    Timer.GIVE: (
        lambda organization, cast: make_review(make_case(organization)),
        lambda review: review.assignee is not None,
    ),
    Timer.LADDER: (on_a_ladder, lambda review: review.climbed_minutes == 10),
}


@pytest.fixture
def rung(organization, cast):
    settings = TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW)
    return Rung.objects.create(tier=settings, after_minutes=10, what="remind")


@pytest.fixture
def broken(organization, cast, rung) -> dict[Timer, Review]:
    """A review for each timer."""
    return {timer: make(organization, cast) for timer, (make, _) in DUE.items()}


def breaking(monkeypatch, reviews, error=None) -> None:
    """Whatever takes these reviews in hand breaks."""
    wrong = error or RuntimeError("No such place\u202e.")
    keys = {review.pk for review in reviews}

    def unless_theirs(lock):
        def locked(review_id):
            if review_id in keys:
                raise wrong
            return lock(review_id)

        return locked

    monkeypatch.setattr(services, "locked_review", unless_theirs(services.locked_review))
    monkeypatch.setattr(ladder, "_locked", unless_theirs(ladder._locked))


def done(reviews: dict[Timer, Review]) -> set[Timer]:
    """The timers that did to their review what they do."""
    fresh = {review.pk: review for review in Review.objects.filter(pk__in=[each.pk for each in reviews.values()])}
    return {timer for timer, review in reviews.items() if DUE[timer][1](fresh[review.pk])}


def setbacks() -> dict[str, tuple[int, bool]]:
    """How often each timer broke, and whether it stands."""
    return {row.timer: (row.tries, row.again_at is None) for row in Setback.objects.all()}


def test_a_timer_that_breaks_waits_and_holds_up_no_other_then_stands_until_it_is_let_go_on(
    broken, organization, cast, sign_in, monkeypatch
):
    sound = {timer: make(organization, cast) for timer, (make, _) in DUE.items()}
    with monkeypatch.context() as patch:
        breaking(patch, broken.values())
        beat()
        assert done(sound) == set(Timer)
        assert setbacks() == dict.fromkeys(Timer.values, (1, False))
        assert Setback.objects.filter(again_at__gt=clock.now() + timedelta(seconds=30)).count() == len(Timer)

        beat()
        assert setbacks() == dict.fromkeys(Timer.values, (1, False))
        for _ in range(6):
            Setback.objects.exclude(again_at=None).update(again_at=clock.now() - HOUR)
            beat()
        assert setbacks() == dict.fromkeys(Timer.values, (5, True))
    assert done(broken) == set()
    assert [due.depth(queue).count for queue in due.QUEUES if queue.name in ("reviews", "windows")] == [0, 0]

    # They stand although nothing is broken any more, until somebody lets them go on.
    beat()
    assert done(broken) == set()
    shown, seen = found(cast, "timers"), found(cast, "timers", "ada")
    [thing] = [thing for thing in shown if thing.reason.startswith("Its ladder")]
    assert thing.reason == "Its ladder broke 5 times. RuntimeError: No such place[U+202E]. Nobody is reminded of it."
    assert {(each.help.label, each.help.posts) for each in shown} == {("Let it go on", True)}
    assert (len(shown), len(seen), {each.help.posts for each in seen}) == (len(Timer), len(Timer), {False})
    told = {each.title for kind in ("reviews", "windows") for each in found(cast, kind)}
    assert not told & {broken[timer].case.who for timer in (Timer.SETTLE, Timer.LEAVE, Timer.WINDOW, Timer.UNTOLD)}

    client = sign_in(cast.maya)
    assert {client.post(each.help.url).headers["Location"] for each in shown} == {reverse("stalled")}
    assert client.post(shown[0].help.url).status_code == 404
    beat()
    assert done(broken) == set(Timer)
    assert found(cast, "timers") == [] and not Setback.objects.exists()
    verbs = Entry.objects.filter(subject_id=broken[Timer.LADDER].pk, subject_kind="review").order_by("pk")
    assert [entry.verb.rpartition(".")[2] for entry in verbs] == ["timer_stopped", "timer_resumed", "reminded"]


def test_a_timer_that_works_again_begins_anew_and_a_busy_database_is_no_setback(broken, monkeypatch):
    with monkeypatch.context() as patch:
        breaking(patch, broken.values())
        beat()
    Setback.objects.update(again_at=clock.now() - HOUR)

    beat()
    assert done(broken) == set(Timer)
    assert not Setback.objects.exists()

    asleep = broken[Timer.WAKE]
    Review.objects.filter(pk=asleep.pk).update(snoozed_until=clock.now() - HOUR, snoozed_by=asleep.assignee)
    busy = OperationalError("canceling statement due to lock timeout")
    busy.__cause__ = type("Refused", (Exception,), {"sqlstate": "55P03"})()
    with monkeypatch.context() as patch:
        breaking(patch, [asleep], busy)
        assert beat() == 0
    assert not Setback.objects.exists()
    assert beat() == 1


def test_what_broke_is_over_once_somebody_did_it_by_hand(broken, cast):
    def stands(timer):
        Setback.objects.create(
            organization=cast.ada.memberships.get().organization, review=broken[timer], timer=timer, tries=5,
            problem="It broke.",
        )  # fmt: skip

    for timer in (Timer.WAKE, Timer.LEAVE, Timer.GIVE):
        stands(timer)
    services.reassign(broken[Timer.GIVE].pk, to=cast.ben, by=cast.maya)
    snoozing.wake(broken[Timer.WAKE].pk, by=cast.ben)
    services.object_to(broken[Timer.LEAVE].pk, by=cast.maya, text="")

    assert not Setback.objects.exists()


def test_the_database_keeps_setbacks_sound(broken, organization):
    review = broken[Timer.WAKE]
    sound = {"organization": organization, "review": review, "timer": Timer.WAKE, "tries": 1, "problem": "It broke."}
    Setback.objects.create(**sound)

    for wrong, constraint in (
        ({}, "one_a_timer"),
        ({"timer": "weather"}, "known_timer"),
        ({"timer": Timer.GIVE, "problem": ""}, "says_what_broke"),
    ):
        with pytest.raises(IntegrityError, match=f"approvals_setback_{constraint}"), transaction.atomic():
            Setback.objects.create(**sound | wrong)
