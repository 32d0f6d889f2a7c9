"""Whoever owes a second opinion finds nowhere what became of the case: on no page, by no filter, not by the API."""

from collections.abc import Iterator

import pytest

from accounts import tokens
from accounts.models import Membership, Organization, Person, User
from accounts.roles import Role
from accounts.tokens import Scope
from accounts.veils import veiled_cases
from approvals.models import SecondOpinion
from auditlog.models import Change, Entry
from integrations.models import Break, Connection
from opsdesk.lists.registry import LISTS
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.approvals.veiled import TOLD, WHO, make_told
from tests.plugins.pages import text_of
from tests.visits import client_of, counted_once, every_url, furnish, latest, quietly
from workflows.models import Bulk, Case, Failure

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)

# Filters by which the row of a case would tell its state, and searches that name it.
ASKED = {
    "cases/": ["state=failed", f"text={WHO}"],
    "search/": [f"q={WHO}"],
    "runs/": ["state=failed", "state=canceled"],
    "failures/": ["state=resolved"],
    "reconciliation/": ["state="],
    "connections/": ["connection=gateway"],
    "stalled/": ["show=all", "show=all&kind=notices", "show=all&kind=questions", "show=all&kind=differences"],
    "coaching/": ["days=90&person={by}"],
    "audit/": ["case=CASE-{case}", "verb=approvals.review.approved"],
    "queue/": ["view=later"],
    "queue/news/": ["shown={review}"],
    "leaving/news/": ["shown={review}"],
    "api/v1/cases": ["state=failed", "key={key}"],
    "api/v1/reviews": ["state=approved"],
    "api/v1/runs": ["state=failed", "case={case}"],
}
# Where it is told to others: what is proved of every page is proved of pages that would tell it.
TELLING = {
    "/cases/", "/cases/{case}/", f"/search/?q={WHO}", "/runs/", "/runs/{run}/", "/failures/{failure}/",
    "/failures/quarantine/", "/bulk/{bulk}/", "/audit/", "/audit/{entry}/", "/reconciliation/", "/differences/{found}/",
    "/connections/", "/connections/{gateway}/", "/reversals/", "/me/notices/", "/stalled/?kind=questions",
    "/stalled/?kind=notices", "/api/v1/cases", "/api/v1/cases/{case}", "/api/v1/runs", "/api/v1/runs/{run}",
    "/api/v1/reviews",
}  # fmt: skip
# What says which opinions one owes: without the outcome.
OWED = ("/second-opinions/", "/stalled/")
# What a manager does not enter, and what lies before the sign-in and knows no case.
ELSEWHERE = ("admin/", "hooks/", "answers/", "sign-in/")


def names(look: SecondOpinion) -> dict[str, object]:
    """What the addresses name, by the word that stands for it in them."""
    review, ours = look.review, look.organization
    newest = {"failure": Failure, "bulk": Bulk, "entry": Entry, "found": Break}
    return {
        "case": review.case_id, "review": review.pk, "run": review.run_id, "key": review.case.key,
        "by": review.decided_by_id, "gateway": Connection.objects.get(organization=ours, slug="gateway").pk,
        **{name: latest(model, ours).pk for name, model in newest.items()},
    }  # fmt: skip


def addresses(look: SecondOpinion, named: dict[str, object]) -> Iterator[str]:
    """Every address that may be looked at, and the filters; those of single things lead to the newest: its own."""
    for url in every_url():
        if not url.route.startswith(ELSEWHERE):
            address = url.address(look.organization)
            yield address
            yield from (f"{address}?{query.format(**named)}" for query in ASKED.get(url.route, ()))


def heads(look: SecondOpinion) -> dict[str, str]:
    """The token of a program that whoever was asked runs beside the browser."""
    member = Membership.objects.select_related("user", "organization").get(user=look.asked)
    scopes = [scope for scope in Scope.values if member.may(tokens.NEEDS[Scope(scope)])]
    return {"Authorization": f"Bearer {tokens.make(member, by=look.asked, name='nightly', scopes=scopes, days=1)[1]}"}


def telling(look: SecondOpinion, visited: list[str]) -> set[str]:
    """The addresses at which whoever was asked reads what became of it, or so much as that there is a row of it."""
    client, headers = client_of("manager", {"manager": look.asked}), heads(look)
    found = set()
    for address in visited:
        answer = client.get(address, headers=headers if address.startswith("/api/v1/") else {})
        page = answer.getvalue().decode(errors="replace")
        named = WHO in page and WHO not in address and not address.startswith(OWED)
        if TOLD in page or named:
            found.add(address)
    return found


def give(look: SecondOpinion) -> None:
    """Whoever was asked has answered all they owe."""
    owed = SecondOpinion.objects.filter(asked=look.asked)
    owed.update(state="agreed", verdict="approve", answered_at=look.asked_at)


def test_what_became_of_it_stands_nowhere_until_the_opinion_is_given():
    organization, members = furnish("ours")
    look = make_told(organization, by=members["operator"], asked=members["manager"])
    named = names(look)
    visited = list(addresses(look, named))

    assert telling(look, visited) == set()
    assert len(visited) > 100
    member = Membership.objects.get(user=look.asked)
    for listed in LISTS.values():  # as exports and the counts of saved views read them
        values = [str(column.value(row)) for row in listed.found(member, "") for column in listed.columns]
        assert values
        assert not [value for value in values if TOLD in value or WHO in value], listed.key
    assert not Change.objects.visible_to(member).filter(kind="case", row_id=look.review.case_id)

    give(look)
    told = {address.format(**named) for address in TELLING}
    assert told - telling(look, sorted(told)) == set()


def owed_by(user: User) -> list[int]:
    return veiled_cases(Membership.objects.get(user=user))


def test_another_account_of_the_same_person_is_as_blind(organization: Organization, cast, sign_in):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    other = factories.make_member(organization, "ben-admin", Role.ADMIN)
    assert owed_by(other) == []
    person = Person.objects.create(name="Ben")
    User.objects.filter(pk__in=[cast.ben.pk, other.pk]).update(person=person)

    page = sign_in(other).get(f"/cases/{look.review.case_id}/")

    assert owed_by(other) == owed_by(cast.ben) == [look.review.case_id]
    assert (page.status_code, "You were asked for a second opinion" in text_of(page)) == (403, True)


def test_only_what_is_owed_is_veiled_and_only_from_whoever_owes_it(organization: Organization, cast):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    given = make_second_opinion(organization, by=cast.ada, asked=cast.maya)
    give(given)

    assert [owed_by(user) for user in (cast.ada, cast.ben, cast.maya)] == [[], [look.review.case_id], []]
    # It waits to be decided anew: whoever may decide it has to see it.
    factories.make_review(look.review.case)
    assert owed_by(cast.ben) == []


def test_nothing_is_kept_from_somebody_who_may_answer_no_more(organization: Organization, cast):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    assert owed_by(cast.ben) == [look.review.case_id]

    Membership.objects.filter(user=cast.ben).update(role=Role.VIEWER)

    assert owed_by(cast.ben) == []
    assert Case.objects.visible_to(Membership.objects.get(user=cast.ben)).filter(pk=look.review.case_id).exists()


def test_lists_say_that_something_is_left_out(organization: Organization, cast, sign_in):
    make_second_opinion(organization, by=cast.ada, asked=cast.ben)

    for address in ("/cases/", "/runs/", "/search/?q=refund"):
        assert "1 case on which you owe a second opinion is left out" in text_of(sign_in(cast.ben).get(address))
        assert "is left out" not in text_of(sign_in(cast.ada).get(address))
