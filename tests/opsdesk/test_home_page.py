"""Home: the piles of each role, the next case, and what the desk did by itself today."""

from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import User
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.screens import today
from tests import factories
from tests.plugins.pages import HTMX, cost, text_of
from workflows.states import CaseState, Tier

HOME = "/"
# More than a list page: it shows ten figures and the alerts. The number does not grow with rows.
MOST_STATEMENTS = 17


def finish(organization, *, amount="20.00", tier=Tier.INSTANT, seconds=3):
    """A case whose refund was seen at the gateway so many seconds after it arrived."""
    now = clock.now()
    case = factories.make_case(organization, amount=amount, state=CaseState.DONE)
    run = factories.make_run(case, state="succeeded")
    factories.make_decision(run, tier=tier)
    factories.make_action(run, state=ActionState.VERIFIED, verified_at=now, succeeded_at=now)
    event = factories.make_event(organization, state="processed", case=case)
    factories.at(event, received_at=now - timedelta(seconds=seconds))
    return case


def test_an_operator_sees_what_waits_for_her_and_what_it_is_worth(organization, cast, sign_in):
    factories.make_review(factories.make_case(organization, amount="120.00", party_name="Mine Ltd"), assignee=cast.ada)
    factories.make_review(factories.make_case(organization, amount="30.50", party_name="Bens Ltd"), assignee=cast.ben)

    response = sign_in(cast.ada).get(HOME)

    reviews = response.context["reviews"]
    assert reviews.mine.count == 1
    assert [str(sum_) for sum_ in reviews.mine.sums] == ["£120.00"]
    assert "£120.00 in all" in text_of(response)
    assert reviews.next.case.party_name == "Mine Ltd"


def test_key_n_takes_the_next_case_which_is_mine_before_it_is_anybodys(organization, cast, sign_in):
    late = factories.make_case(organization, party_name="Late Ltd")
    factories.make_review(late, assignee=cast.ben, due_at=clock.now() - timedelta(hours=1))
    mine = factories.make_case(organization, party_name="Mine Ltd")
    factories.make_review(mine, assignee=cast.ada)

    html = sign_in(cast.ada).get(HOME).content.decode()

    # In the queue the case after it opens by itself.
    assert f'href="{reverse("approvals:queue")}?case={mine.pk}" data-key="n"' in html
    assert "Take next case" in html


def test_without_one_of_her_own_the_most_urgent_case_is_offered(organization, cast, sign_in):
    factories.make_review(factories.make_case(organization), assignee=cast.ben)
    urgent = factories.make_case(organization)
    factories.make_review(urgent, assignee=cast.ben, due_at=clock.now() - timedelta(hours=1))

    response = sign_in(cast.ada).get(HOME)

    assert response.context["reviews"].next.case == urgent


def test_late_reviews_stand_in_the_late_pile_with_who_has_them(organization, cast, sign_in):
    factories.make_review(factories.make_case(organization), assignee=cast.ben)
    late = factories.make_case(organization, party_name="Late Ltd", amount="66.33")
    factories.make_review(late, assignee=cast.ben, due_at=clock.now() - timedelta(minutes=31, seconds=5))

    response = sign_in(cast.maya).get(HOME)

    assert [review.case for review in response.context["reviews"].late.rows] == [late]
    text = text_of(response)
    assert "Late Ltd £66.33 Ben Marsh has it 31 min late" in text


def test_a_fast_track_case_counts_down_and_one_without_notice_has_not_started(organization, cast, sign_in):
    leaving = factories.make_case(organization, amount="54.80", party_name="Fenwick Yard")
    factories.make_review(leaving, tier=Tier.FAST_TRACK, objection_ends_at=clock.now() + timedelta(minutes=6))
    factories.make_review(factories.make_case(organization, amount="60.00"), tier=Tier.FAST_TRACK)

    response = sign_in(cast.maya).get(HOME)

    text = text_of(response)
    assert "£114.80 go out unless someone objects" in text
    assert "Fenwick Yard £54.80 Returned 5 min" in text
    assert "1 clock not started" in text


def test_failures_say_how_many_runs_stopped_and_whose_they_are(organization, cast, sign_in):
    factories.make_failure(organization, items=3, message="Ledger refuses the note.")

    text = text_of(sign_in(cast.maya).get(HOME))

    assert "3 runs stopped in 1 group" in text
    assert "Ledger refuses the note. 3 runs" in text
    assert "No failure is without an owner" not in text


@pytest.mark.parametrize(
    ("who", "piles"),
    [
        ("ada", ["pile-mine", "pile-late", "pile-leaving", "pile-failed"]),
        ("maya", ["pile-mine", "pile-late", "pile-leaving", "pile-failed"]),
        ("tomasz", ["pile-late", "pile-leaving", "pile-failed"]),
        ("ines", ["pile-late", "pile-leaving", "pile-failed"]),
    ],
)
def test_whoever_decides_nothing_has_no_pile_of_her_own(organization, cast, sign_in, who, piles):
    factories.make_review(factories.make_case(organization))

    html = sign_in(getattr(cast, who)).get(HOME).content.decode()

    found = [name for name in ("pile-mine", "pile-late", "pile-leaving", "pile-failed") if f'id="{name}"' in html]
    assert found == piles
    assert ('data-key="n"' in html) == ("pile-mine" in piles)


def test_the_day_counts_cases_without_a_person_of_all(organization, cast, sign_in):
    for _ in range(3):
        finish(organization)
    decided = finish(organization, amount="141.48", tier=Tier.FULL_REVIEW)
    review = factories.make_review(decided, state="approved", closed_at=clock.now())
    factories.make_vote(review, cast.ada)

    day = sign_in(cast.ada).get(HOME).context["today"]

    assert (day.finished, day.by_desk, day.share) == (4, 3, 75)
    assert sum(rect.kind == "c1" for rect in day.hours.rects) >= 1
    assert sum(rect.kind == "c2" for rect in day.hours.rects) >= 1


@pytest.mark.parametrize("touch", ["correction", "repair"])
def test_a_case_that_a_person_mended_was_not_finished_by_the_desk_alone(organization, cast, touch):
    case = finish(organization)
    if touch == "correction":
        case.corrections.create(user=cast.ada, before={}, after={"amount": "20.00"}, reason="A typing error.")
    else:
        failure = factories.make_failure(organization, items=0)
        failure.items.create(run=case.runs.get(), detail="It stopped.", repaired_at=clock.now())

    assert today.look(cast.ada.memberships.get()).by_desk == 0


def test_money_sent_is_told_by_the_tier_it_needed_and_the_time_it_took(organization, cast):
    finish(organization, amount="20.00", tier=Tier.INSTANT, seconds=2)
    finish(organization, amount="30.00", tier=Tier.INSTANT, seconds=4)
    finish(organization, amount="75.00", tier=Tier.FAST_TRACK, seconds=1900)

    day = today.look(cast.ada.memberships.get())

    assert [str(sum_) for sum_ in day.sent] == ["£125.00"]
    assert [label.text for label in day.tiers.labels] == ["£50.00 instant", "£75.00 fast-track", "£0.00 full review"]
    assert (day.refunds, day.verified, day.median) == (3, 3, "4.0 s")
    assert day.took.told == "1 up to 2.0 s, 1 up to 5.0 s, 1 up to 2 h"


def test_yesterday_is_not_today(organization, cast):
    case = finish(organization)
    factories.at(case, closed_at=clock.now() - timedelta(days=1))

    assert today.look(cast.ada.memberships.get()).finished == 0


def test_a_day_without_finished_cases_says_so_instead_of_drawing_nothing(organization, cast, sign_in):
    assert "No case has finished yet today" in text_of(sign_in(cast.ada).get(HOME))


def test_another_organization_is_not_seen(organization, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    case = factories.make_case(other, party_name="Secret Ltd")
    factories.make_review(case, due_at=clock.now() - timedelta(hours=1))
    factories.make_failure(other, message="Secret trouble.")
    finish(other)

    response = sign_in(cast.maya).get(HOME)

    assert "Secret" not in text_of(response)
    assert response.context["today"].finished == 0


def test_text_from_outside_cannot_pose_or_run(organization, cast, sign_in):
    case = factories.make_case(organization, party_name="<b>Bold</b> \u202eevil", reason="<script>")
    factories.make_review(case, assignee=cast.ada)

    html = sign_in(cast.ada).get(HOME).content.decode()

    assert "&lt;b&gt;Bold&lt;/b&gt; [U+202E]evil" in html
    assert "<script>" not in html.split("<main", 1)[1]


def test_a_poll_gets_the_fragment_and_then_nothing_new(organization, cast, sign_in):
    client = sign_in(cast.ada)

    first = client.get(HOME, headers=HTMX)
    again = client.get(HOME, headers={**HTMX, "If-None-Match": first.headers["ETag"]})

    assert "<html" not in first.content.decode()
    assert first.content.decode().count('id="home-desk"') == 1
    assert "csrfmiddlewaretoken" not in first.content.decode()
    assert (again.status_code, again.content) == (304, b"")
    assert {"HX-Request", "Cookie"} <= set(first.headers["Vary"].replace(" ", "").split(","))


def test_a_poll_after_a_change_gets_the_new_fragment(organization, cast, sign_in):
    client = sign_in(cast.ada)
    tag = client.get(HOME, headers=HTMX).headers["ETag"]

    factories.make_review(factories.make_case(organization, party_name="New Ltd"), assignee=cast.ada)

    changed = client.get(HOME, headers={**HTMX, "If-None-Match": tag})
    assert changed.status_code == 200
    assert "New Ltd" in text_of(changed)


def test_the_number_of_statements_does_not_grow_with_rows(organization, cast, sign_in):
    client = sign_in(cast.ada)

    def fill(count):
        for _ in range(count):
            factories.make_review(
                factories.make_case(organization), assignee=cast.ada, due_at=clock.now() - timedelta(hours=1)
            )
            factories.make_review(factories.make_case(organization), tier=Tier.FAST_TRACK)
            factories.make_failure(organization)
            finish(organization)

    fill(5)
    few = cost(client, HOME)
    fill(15)

    assert cost(client, HOME) == few <= MOST_STATEMENTS


def test_somebody_without_an_organization_is_told_so(db, sign_in):
    stranger = User.objects.create(username="stranger")

    response = sign_in(stranger).get(HOME)

    assert response.status_code == 200
    assert "You belong to no organization yet" in text_of(response)
