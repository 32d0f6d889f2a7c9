"""Deciding several cases at once: a vote each, with every check a single one has, and a result each."""

from datetime import timedelta

import pytest

from accounts.models import Organization
from approvals.models import ReasonCode, Review, Stage, TierSettings, Vote
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from opsdesk.lib import errands
from tests.approvals.desk import signed_in
from tests.factories import Cast, make_case, make_desk, make_review
from tests.plugins.line import pass_time, vote
from workflows.bulk import carrying
from workflows.models import Bulk, Case
from workflows.states import BulkState

pytestmark = pytest.mark.django_db
WHY = "All came back with the same truck."


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[int]:
    """The jobs that were asked for; none of them runs by itself."""
    found: list[int] = []
    monkeypatch.setattr(errands, "push", lambda name, job, key: found.append(key))
    return found


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


@pytest.fixture
def reviews(cast: Cast) -> list[Review]:
    organization = Organization.objects.get()
    return [make_review(make_case(organization, amount=amount)) for amount in ("110.00", "120.00", "130.00")]


def preview(by, reviews, kind: str = "cases.approve") -> Bulk:
    ticked = [review.case_id for review in reviews]
    answer = signed_in(by).post("/queue/several/begin/", {"kind": kind, "ticked": ticked})
    assert answer.status_code == 302, answer.content
    return Bulk.objects.get(pk=int(answer.headers["Location"].strip("/").split("/")[-1]))


def carried_out(by, bulk: Bulk, verdict: Verdict = Verdict.APPROVE) -> list[tuple[str, str]]:
    """Start it as the page does, have the job do it; results and sentences."""
    code = ReasonCode.objects.filter(organization=bulk.organization, verdict=verdict, text_needed=False).first()
    answer = signed_in(by).post(f"/bulk/{bulk.pk}/start/", {"reason": WHY, "code": code.pk})
    assert answer.status_code == 302, answer.content.decode()[:3000]
    assert not carrying.carry_on(bulk.pk)
    bulk.refresh_from_db()
    assert bulk.state == BulkState.DONE
    return list(bulk.items.values_list("result", "sentence"))


def state_of(review: Review) -> str:
    return Review.objects.get(pk=review.pk).state


def test_the_total_is_shown_before_and_each_is_decided_by_itself(cast: Cast, reviews):
    euro = make_review(make_case(reviews[0].organization, amount="200.00", currency="EUR"))
    bulk = preview(cast.ada, [*reviews, euro])

    page = signed_in(cast.ada).get(f"/bulk/{bulk.pk}/").content.decode()
    assert "£360.00 in 3 cases." in page
    assert "€200.00 in 1 case." in page
    assert not Vote.objects.exists()
    found = carried_out(cast.ada, bulk)

    assert found == [("done", f"Approved, {amount}.") for amount in ("£110.00", "£120.00", "£130.00", "€200.00")]
    entries = Entry.objects.filter(verb="approvals.review.voted_approve")
    assert {entry.after["bulk"] for entry in entries} == {bulk.pk}
    assert {(entry.request_id, entry.user_id) for entry in entries} == {(f"bulk-{bulk.pk}", cast.ada.pk)}
    assert {entry.case_id for entry in entries} == {review.case_id for review in [*reviews, euro]}
    assert set(Vote.objects.values_list("text", flat=True)) == {WHY}
    assert {state_of(review) for review in reviews} == {ReviewState.APPROVING}


def test_several_are_rejected(cast: Cast, reviews):
    found = carried_out(cast.ada, preview(cast.ada, reviews, "cases.reject"), Verdict.REJECT)

    assert [result for result, _ in found] == ["done"] * 3
    assert {state_of(review) for review in reviews} == {ReviewState.REJECTING}


def test_ones_own_cases_are_refused_and_the_others_go_on(cast: Cast, reviews):
    asked_for, corrected, gets, other = [*reviews, make_review(make_case(reviews[0].organization, party="ada"))]
    Case.objects.filter(pk=asked_for.case_id).update(requested_by_user=cast.ada)
    corrected.case.corrections.create(user=cast.ada, before={}, after={}, reason="x")

    found = carried_out(cast.ada, preview(cast.ada, [asked_for, corrected, gets, other]))

    assert [result for result, _ in found] == ["refused", "refused", "done", "refused"]
    assert all("somebody else has to decide it" in words for result, words in found if result == "refused")
    assert Vote.objects.get().review == gets


def test_what_changed_since_it_was_ticked_is_refused(cast: Cast, reviews):
    bulk = preview(cast.ada, reviews)
    Case.objects.filter(pk=reviews[0].case_id).update(amount_minor=99_999)
    # Decided anew meanwhile: open again, over other content than was looked at.
    Review.objects.filter(pk=reviews[1].pk).update(content_hash="0" * 64)
    vote(reviews[2], cast.ben)

    found = carried_out(cast.ada, bulk)

    assert [result for result, _ in found] == ["refused"] * 3
    assert [words.split(":")[0] for _, words in found[:2]] == ["The case changed while you looked at it"] * 2
    assert found[2][1] == "It is no longer open."


def test_what_asks_for_more_is_looked_at_one_by_one(cast: Cast, reviews):
    Stage.objects.create(tier=reviews[0].settings, team=reviews[0].organization.teams.get(slug="refunds"), position=1)
    bulk = preview(cast.ada, reviews[:1])

    assert "Several stages decide it" in signed_in(cast.ada).get(f"/bulk/{bulk.pk}/").content.decode()
    assert "Several stages decide it" in signed_in(cast.ada).get("/queue/several/").content.decode()
    assert carried_out(cast.ada, bulk)[0][0] == "refused"
    assert state_of(reviews[0]) == ReviewState.OPEN


@pytest.mark.parametrize(("most", "done"), [(0, 0), (2, 2), (3, 3)])
def test_a_tier_has_its_cap(cast: Cast, reviews, most: int, done: int):
    TierSettings.objects.update(bulk_most=most)

    found = carried_out(cast.ada, preview(cast.ada, reviews))

    assert [result for result, _ in found] == ["done"] * done + ["refused"] * (3 - done)
    assert all("one by one" in words or f"at most {most}" in words for _, words in found[done:])


def test_votes_of_a_bulk_count_one_each(cast: Cast, reviews):
    Stage.objects.update(votes=2)

    first = carried_out(cast.ada, preview(cast.ada, reviews))
    again = carried_out(cast.ada, preview(cast.ada, reviews))

    assert {words for _, words in first} == {"Your vote is cast; it needs another."}
    assert {result for result, _ in again} == {"refused"}
    assert Vote.objects.count() == 3


def test_who_loses_the_right_meanwhile_decides_nothing_more(cast: Cast, reviews):
    bulk = preview(cast.ada, reviews)
    code = ReasonCode.objects.filter(verdict="approve", text_needed=False).first()
    signed_in(cast.ada).post(f"/bulk/{bulk.pk}/start/", {"reason": WHY, "code": code.pk})
    reviews[0].organization.teams.get(slug="refunds").members.remove(cast.ada)

    carrying.carry_on(bulk.pk)

    assert set(bulk.items.values_list("result", flat=True)) == {"refused"}
    assert not Vote.objects.exists()


def test_admins_and_viewers_start_no_decision_of_somebody_else(cast: Cast, reviews):
    bulk = preview(cast.ada, reviews)

    for who in (cast.tomasz, cast.ines):
        assert signed_in(who).post("/queue/several/begin/", {"kind": "cases.approve"}).status_code == 403
        assert signed_in(who).post(f"/bulk/{bulk.pk}/start/", {"reason": WHY, "code": 1}).status_code == 404
    answer = signed_in(cast.maya).post("/bulk/begin/", {"kind": "cases.approve", "chosen": "matching"})
    assert answer.headers["Location"].startswith("/queue/several/")
    assert Bulk.objects.count() == 1


def test_a_code_for_the_other_verdict_is_none(cast: Cast, reviews):
    bulk = preview(cast.ada, reviews)
    code = ReasonCode.objects.filter(verdict="reject").first()

    answer = signed_in(cast.ada).post(f"/bulk/{bulk.pk}/start/", {"reason": WHY, "code": code.pk})

    assert answer.status_code == 422


def test_the_table_has_no_box_for_what_one_may_not_decide(cast: Cast, reviews):
    Case.objects.filter(pk=reviews[0].case_id).update(requested_by_user=cast.ada)
    pass_time(timedelta(minutes=1))

    page = signed_in(cast.ada).get("/queue/several/").content.decode()

    assert f'value="{reviews[0].case_id}" form="several"' not in page
    assert f'value="{reviews[1].case_id}" form="several"' in page
    assert "somebody else has to decide it" in page
    assert "Decide several" in signed_in(cast.ada).get("/queue/").content.decode()
    assert "Decide several" not in signed_in(cast.ines).get("/queue/").content.decode()
