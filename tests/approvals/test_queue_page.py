"""The review desk: list, opened case, filters, what changed meanwhile."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.states import ReviewState
from approvals.views.listing import PAGE_SIZE
from opsdesk.lib import clock
from tests.approvals.desk import htmx, signed_in
from tests.factories import make_case, make_desk, make_review
from workflows.states import Tier

pytestmark = pytest.mark.django_db
QUEUE = "/queue/"


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def organization(desk):
    return desk[0]


@pytest.fixture
def cast(desk):
    return desk[1]


@pytest.fixture
def ada(cast):
    return signed_in(cast.ada)


def late(organization, **fields):
    return make_review(make_case(organization), due_at=clock.now() - timedelta(minutes=5), **fields)


def text_of(response):
    return response.content.decode()


def rows_in(response):
    """Keys of the reviews in the list, in order."""
    page = text_of(response)
    return [int(part.split('"', 1)[0]) for part in page.split('id="queue-row-')[1:]]


def test_the_list_is_by_due_time_and_holds_open_full_reviews_only(ada, organization):
    later = make_review(make_case(organization))
    sooner = late(organization)
    make_review(make_case(organization), tier=Tier.FAST_TRACK)
    make_review(make_case(organization), state=ReviewState.REJECTED, closed_at=clock.now())

    page = ada.get(QUEUE)

    assert rows_in(page) == [sooner.pk, later.pk]


def test_an_empty_queue_says_so(ada):
    page = text_of(ada.get(QUEUE))

    assert "Nothing waits for a person" in page
    assert "No case is open" in page


def test_the_named_case_stands_opened_beside_the_list(ada, organization):
    first, second = make_review(make_case(organization)), make_review(make_case(organization))

    page = text_of(ada.get(QUEUE, {"case": second.case_id}))

    assert f'data-case="{second.case_id}" hx-target="#opened"' in page
    assert rows_in(ada.get(QUEUE)) == [first.pk, second.pk]
    assert "2 of 2" in page
    assert f"{reverse('approvals:decide', args=[second.case_id])}?from=queue" in page


@pytest.mark.parametrize(
    ("target", "has", "has_not"),
    [("opened", 'id="opened"', 'id="queue"'), ("queue", 'id="queue"', 'id="opened"'), ("desk", 'id="desk"', "<html")],
)
def test_htmx_gets_the_part_it_swaps(ada, organization, target, has, has_not):
    review = make_review(make_case(organization))

    response = ada.get(QUEUE, {"case": review.case_id}, **htmx(target))

    assert has in text_of(response)
    assert has_not not in text_of(response)
    assert "<html" not in text_of(response)


def test_going_back_gets_the_whole_page_and_caches_can_tell(ada, organization):
    review = make_review(make_case(organization))

    restored = ada.get(
        QUEUE, {"case": review.case_id}, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    )

    assert "<html" in text_of(restored)
    assert {"HX-Request", "HX-Target", "Cookie"} <= set(map(str.strip, restored.headers["Vary"].split(",")))


@pytest.mark.parametrize(("view", "expected"), [("all", 3), ("mine", 1), ("late", 1), ("nonsense", 3)])
def test_views_are_links_and_count_what_they_hold(ada, cast, organization, view, expected):
    make_review(make_case(organization), assignee=cast.ada)
    make_review(make_case(organization), assignee=cast.ben)
    late(organization, assignee=cast.ben)

    page = ada.get(QUEUE, {"view": view})

    assert len(rows_in(page)) == expected
    for words in ("All <b>3</b>", "Mine <b>1</b>", "Late <b>1</b>"):
        assert words in text_of(page)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"text": "C777"}, "wanted"),
        ({"text": "garden"}, "wanted"),
        ({"text": "pi_777"}, "wanted"),
        ({"least": "200"}, "wanted"),
        ({"least": "£200.00", "most": "250"}, "wanted"),
        ({"reason": "damaged"}, "wanted"),
        ({"assignee": "me"}, "wanted"),
        ({"assignee": "nobody"}, "other"),
        ({"most": "150"}, "other"),
        ({"text": "nobody has this"}, None),
        ({"least": "201", "most": "100"}, None),
    ],
)
def test_filters_narrow_the_list(ada, cast, organization, filters, found):
    returns = make_case(organization)
    make_review(returns)
    codes = organization.reason_codes.filter(code="goods-returned")
    codes.update(suggested_for=["returned", "damaged"])
    wanted = make_case(
        organization, key="C777", party_name="Wickham Garden Centre", target="pi_777", amount="200.50", reason="damaged"
    )
    make_review(wanted, assignee=cast.ada)
    names = {"wanted": wanted, "other": returns}

    page = text_of(ada.get(QUEUE, filters))

    assert [case.pk for case in names.values() if f'data-case="{case.pk}"' in page] == (
        [names[found].pk] if found else []
    )
    assert ("No case fits these filters" in page) == (found is None)


def test_an_amount_that_is_none_is_said_at_its_field(ada, organization):
    make_review(make_case(organization))

    page = text_of(ada.get(QUEUE, {"least": "a lot"}))

    assert "is not an amount" in page


@pytest.mark.parametrize(
    "query",
    [
        "?after=x",
        "?after=2026-13-01T00:00:00Z~1",
        "?after=2026-01-01T00:00:00~1",
        "?after=2026-01-01T00:00:00%2B00:00~99999999999999999999",
        "?case=x",
        "?text=%00",
        "?assignee=9999999999999999999999",
        "?view=%00",
    ],
)
def test_an_address_nobody_made_is_read_as_far_as_it_can_be(ada, organization, query):
    make_review(make_case(organization))

    assert ada.get(QUEUE + query).status_code == 200


def test_pages_follow_each_other_without_gap_or_repeat(ada, organization):
    due = clock.now() + timedelta(hours=1)
    reviews = [make_review(make_case(organization), due_at=due) for _ in range(PAGE_SIZE + 3)]

    first = ada.get(QUEUE)
    address = text_of(first).split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = ada.get(address)

    assert rows_in(first) + rows_in(second) == [review.pk for review in reviews]
    assert "Back to the first" in text_of(second)


def test_a_poll_that_brings_nothing_is_answered_by_304(ada, organization):
    review = make_review(make_case(organization))
    poll = reverse("approvals:queue_news")
    first = ada.get(poll, {"shown": review.pk}, **htmx("queue-news"))

    again = ada.get(poll, {"shown": review.pk}, headers={"HX-Request": "true", "If-None-Match": first.headers["ETag"]})

    assert "offer" not in text_of(first)
    assert (first.status_code, again.status_code) == (200, 304)


def test_new_cases_are_offered_and_never_inserted(ada, organization):
    shown = make_review(make_case(organization))
    new = make_review(make_case(organization))

    news = text_of(ada.get(reverse("approvals:queue_news"), {"shown": shown.pk}, **htmx("queue-news")))

    assert "Show 1 new case" in news
    assert f"queue-row-{new.pk}" not in news


def test_what_moves_up_from_the_next_page_is_not_new(ada, organization):
    shown, below = make_review(make_case(organization)), make_review(make_case(organization))
    poll = reverse("approvals:queue_news")

    full = text_of(ada.get(poll, {"shown": shown.pk, "full": 1}, **htmx("queue-news")))
    sooner = late(organization)
    between = text_of(ada.get(poll, {"shown": shown.pk, "full": 1}, **htmx("queue-news")))

    assert below.due_at > shown.due_at > sooner.due_at
    assert "offer" not in full
    assert "Show 1 new case" in between


def test_one_s_own_decisions_are_not_marked_again(ada, cast, organization):
    closed = {"state": ReviewState.APPROVED, "decided_by": cast.ada, "closed_at": clock.now()}
    review = make_review(make_case(organization), **closed)

    news = text_of(ada.get(reverse("approvals:queue_news"), {"shown": review.pk}, **htmx("queue-news")))

    assert f"queue-row-{review.pk}" not in news


def test_a_case_decided_by_somebody_else_is_marked_where_it_stands(ada, cast, organization):
    review = make_review(
        make_case(organization), state=ReviewState.APPROVED, decided_by=cast.ben, closed_at=clock.now()
    )

    news = text_of(ada.get(reverse("approvals:queue_news"), {"shown": review.pk}, **htmx("queue-news")))

    assert f'id="queue-row-{review.pk}"' in news
    assert "Approved by Ben Marsh, " in news


def test_another_organization_is_not_seen(ada, organization):
    theirs, _ = make_desk("elsewhere", suffix="2")
    review = make_review(make_case(theirs))

    assert rows_in(ada.get(QUEUE)) == []
    assert ada.get(QUEUE, {"case": review.case_id}).status_code == 404
    assert f"queue-row-{review.pk}" not in text_of(ada.get(reverse("approvals:queue_news"), {"shown": review.pk}))


def statements(client, address, **more):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address, **more).status_code == 200
    return len(captured)


def test_the_list_costs_the_same_with_many_rows(ada, cast, organization):
    for _ in range(5):
        make_review(make_case(organization), assignee=cast.ada)
    ada.get(QUEUE)
    few = statements(ada, QUEUE)
    for _ in range(55):
        make_review(make_case(organization), assignee=cast.ben)

    many = statements(ada, QUEUE)

    assert few == many <= 12
    assert statements(ada, QUEUE, **htmx("queue")) <= 12


def test_opening_a_case_from_the_list_stays_within_its_budget(ada, cast, organization):
    reviews = [make_review(make_case(organization)) for _ in range(5)]
    address = f"{QUEUE}?case={reviews[2].case_id}"
    ada.get(address)

    # The page of a case, its conversation, whom it can be passed on to, ceilings and limits of a day included, and one
    # statement each for the list beside it and its counts.
    assert statements(ada, address, **htmx("opened")) <= 29
