"""A rung that breaks: tried some times with pauses, then shown to people, who let it go on."""

from datetime import timedelta

import pytest
from django.urls import reverse

from approvals import ladder, rungs
from approvals.models import Review, Rung, TierSettings
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.factories import make_case, make_review
from tests.opsdesk.test_stalled_page import found
from workflows.states import Tier


@pytest.fixture
def broken(organization, cast, monkeypatch):
    """A review whose next rung breaks whenever it is climbed."""
    settings = TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW)
    Rung.objects.create(tier=settings, after_minutes=10, what="remind")
    review = make_review(make_case(organization), assignee=cast.ada, opened_at=clock.now() - timedelta(minutes=11))
    rungs.begin(review)

    def breaks(*_):
        raise RuntimeError("No such place\u202e.")

    monkeypatch.setitem(ladder._DO, Rung.What.REMIND, breaks)
    return review


def climb_when_due(review):
    """What the ticks do until the rung is due once more."""
    Review.objects.filter(pk=review.pk, rung_due_at__isnull=False).update(rung_due_at=clock.now() - timedelta(days=1))
    return ladder.climb()


def test_a_rung_that_breaks_waits_longer_each_time_and_holds_up_no_other(broken, organization, cast):
    assert ladder.climb() == 0
    broken.refresh_from_db()

    assert (broken.rung_tries, broken.rung_problem) == (1, "")
    assert broken.rung_due_at > clock.now() + timedelta(seconds=30)
    assert ladder.climb() == 0
    broken.refresh_from_db()
    assert broken.rung_tries == 1
    climb_when_due(broken)
    broken.refresh_from_db()
    assert broken.rung_due_at > clock.now() + timedelta(seconds=90)


def test_after_its_last_try_it_stands_and_a_manager_lets_it_go_on(broken, cast, sign_in, monkeypatch):
    for _ in range(7):
        climb_when_due(broken)
    broken.refresh_from_db()
    [seen], [thing] = found(cast, "ladders", "ada"), found(cast, "ladders")

    assert (broken.rung_tries, broken.rung_due_at) == (5, None)
    assert broken.rung_problem == "Its ladder broke 5 times. RuntimeError: No such place[U+202E]."
    assert thing.reason == f"{broken.rung_problem} Nobody is reminded of it."
    assert (thing.help.label, thing.help.posts, seen.help.posts) == ("Let it go on", True, False)
    monkeypatch.undo()
    response = sign_in(cast.maya).post(thing.help.url)
    again = sign_in(cast.maya).post(thing.help.url)

    assert response.headers["Location"] == again.headers["Location"] == reverse("stalled")
    assert found(cast, "ladders") == []
    assert ladder.climb() == 1
    verbs = (
        Entry.objects.filter(subject_kind="review", subject_id=broken.pk).order_by("pk").values_list("verb", flat=True)
    )
    assert [verb.rpartition(".")[2] for verb in verbs] == ["ladder_stopped", "ladder_resumed", "reminded"]
