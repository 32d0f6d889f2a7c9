"""The left navigation: who sees what, and what the numbers cost."""

import pytest
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import resolve

from accounts.models import Membership, Organization, User
from accounts.roles import Role
from opsdesk import counts, navigation

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.opsdesk.places")]


@pytest.fixture(autouse=True)
def _no_permission_of_other_addresses():
    navigation._permission_of.cache_clear()
    yield
    navigation._permission_of.cache_clear()


@pytest.fixture
def visit(rf: RequestFactory):
    """A page request of a member with a role."""
    organization = Organization.objects.create(name="Acme", slug="acme")

    def visit(role: Role, path: str = "/", *, staff: bool = False) -> HttpRequest:
        user = User.objects.create(username=role, first_name="Ada", last_name="Okafor", is_staff=staff)
        request = rf.get(path)
        request.user = user
        request.membership = Membership.objects.create(organization=organization, user=user, role=role)
        request.membership.veiled = []  # as the middleware reads it, with the membership
        request.resolver_match = resolve(request.path_info)
        return request

    return visit


def labels(request: HttpRequest) -> list[str]:
    return [item.label for group in navigation.Navigation(request).groups for item in group.items]


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (
            Role.OPERATOR,
            [
                "Home",
                "Queue",
                "Cases",
                "Second opinions",
                "Notices",
                "Stalled",
                "Alerts",
                "Time off",
                "Requests",
                "Runs",
                "Triggers",
                "Reconciliation",
                "Switches",
                "Reversals",
                "Saved views",
            ],
        ),
        (
            Role.MANAGER,
            [
                "Home",
                "Queue",
                "Cases",
                "Escalations",
                "Leaving soon",
                "Second opinions",
                "Notices",
                "Stalled",
                "Alerts",
                "Time off",
                "Requests",
                "Runs",
                "Triggers",
                "Failures",
                "Reconciliation",
                "Coaching",
                "Audit",
                "Switches",
                "Reversals",
                "Saved views",
                "Exports",
            ],
        ),
        (
            Role.AUDITOR,
            [
                "Home",
                "Queue",
                "Cases",
                "Notices",
                "Stalled",
                "Alerts",
                "Runs",
                "Triggers",
                "Reconciliation",
                "Audit",
                "Switches",
                "Reversals",
                "Saved views",
                "Exports",
            ],
        ),
    ],
)
def test_a_person_sees_the_entries_whose_views_they_may_open(visit, role, seen):
    assert labels(visit(role)) == seen


def test_the_admin_is_offered_to_staff_alone(visit):
    assert "Admin" in labels(visit(Role.ADMIN, staff=True))
    assert "Admin" not in labels(visit(Role.MANAGER))


def test_a_person_without_membership_sees_what_everybody_signed_in_sees(visit):
    request = visit(Role.VIEWER)
    request.membership = None

    assert labels(request) == ["Home"]


def test_the_entry_of_a_page_below_it_is_the_current_one(visit):
    request = visit(Role.OPERATOR, "/approvals/case/")

    current = [item.label for group in navigation.Navigation(request).groups for item in group.items if item.current]

    assert current == ["Queue"]


def test_all_numbers_cost_one_statement_and_stop_at_the_cap(visit, monkeypatch, django_assert_num_queries):
    request = visit(Role.MANAGER)
    people = User.objects.bulk_create(User(username=f"person-{number}") for number in range(navigation.CAP + 5))
    monkeypatch.setitem(counts.COUNTERS, "queue", lambda membership: User.objects.all())
    monkeypatch.setitem(counts.COUNTERS, "stalled", lambda membership: User.objects.filter(pk=people[0].pk))
    monkeypatch.setitem(counts.COUNTERS, "failures", lambda membership: User.objects.none())

    with django_assert_num_queries(1):
        groups = navigation.Navigation(request).groups

    words = {item.label: item.words for group in groups for item in group.items}
    assert (words["Queue"], words["Stalled"], words["Failures"], words["Runs"]) == ("99+", "1", "", "")


def test_a_page_that_shows_no_navigation_asks_nothing(visit, django_assert_num_queries):
    request = visit(Role.MANAGER)

    with django_assert_num_queries(0):
        navigation.navigation(request)


def test_the_shell_shows_the_person_and_marks_the_place(visit):
    html = render_to_string("base.html", request=visit(Role.OPERATOR, "/approvals/queue/"))

    assert "Ada Okafor" in html and "Acme" in html
    assert html.count('aria-current="page"') == 1
    assert '"X-CSRFToken"' in html
