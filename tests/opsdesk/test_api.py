"""The API: tokens with scopes, the same rights and services as the pages, and refusals that say what to do."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.core.checks import Error
from django.urls import reverse
from ninja import NinjaAPI

from accounts import tokens
from accounts.models import ApiToken, Membership, User
from accounts.roles import Role
from accounts.tokens import Scope
from approvals.models import ReasonCode, Vote
from auditlog.models import Change, Entry
from opsdesk.api import desk as api_desk
from opsdesk.lib import clock
from tests import factories
from tests.factories import make_case, make_desk, make_review
from tests.plugins.pages import text_of
from workflows.models import Case

pytestmark = pytest.mark.django_db
ALL = list(Scope.values)
PASSWORD = "correct horse battery"


def token_of(user, *, scopes=None, **options):
    member = Membership.objects.select_related("user", "organization").get(user=user)
    allowed = [scope for scope in ALL if member.may(tokens.NEEDS[Scope(scope)])]
    return tokens.make(
        member, by=user, name="a program", scopes=allowed if scopes is None else scopes, **{"days": 30, **options}
    )[1]


def call(client, token, path, body=None, *, method="", **headers):
    method = method or ("POST" if body is not None else "GET")
    sent = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = json.dumps(body) if body is not None else ""
    return client.generic(method, f"/api/v1/{path}", data, content_type="application/json", headers=sent)


def said(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


def decision(review, verdict="approve", **more):
    code = ReasonCode.objects.filter(organization=review.organization, verdict=verdict).first()
    return {
        "verdict": verdict,
        "reason": code.code,
        "seen": review.content_hash,
        "text": "As agreed, all seen.",
        **more,
    }


# Tokens.


def test_a_token_is_shown_once_and_kept_as_its_hash(client, cast):
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    client.force_login(cast.ada)
    account = Membership.objects.get(user=cast.ada).pk
    form = {"name": "Nightly", "account": account, "scopes": ["cases:read"], "days": "30"}
    assert "Is it you?" in text_of(client.post(reverse("accounts:make_token"), form))

    page = client.post(reverse("accounts:make_token"), {**form, "confirm_password": PASSWORD}).content.decode()

    text = page.partition("<code data-token>")[2].partition("<")[0]
    assert text.startswith("desk_")
    assert text not in json.dumps(list(ApiToken.objects.values()), default=str)
    assert text not in json.dumps(list(Entry.objects.values("before", "after", "reason")), default=str)
    assert text not in client.get(reverse("accounts:tokens")).content.decode()
    assert call(client, text, "cases").status_code == 200
    assert ApiToken.objects.get().last_used_at


def _revoke(user):
    tokens.revoke(ApiToken.objects.get(), by=user)


def _end(user):
    user.memberships.update(ended_at=clock.now())


def _deactivate(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


@pytest.mark.parametrize("event", [_revoke, _end, _deactivate])
def test_a_token_ends_with_the_next_call(client, cast, event):
    token = token_of(cast.ada)
    assert call(client, token, "cases").status_code == 200

    event(cast.ada)

    assert said(call(client, token, "cases"))[0] == 401


def test_a_token_expires_and_one_that_was_never_made_opens_nothing(client, cast):
    token = token_of(cast.ada, days=1)

    assert said(call(client, token[:-1] + "x", "cases"))[0] == 401
    with time_machine.travel(clock.now() + timedelta(days=1, seconds=1), tick=False):
        answer = call(client, token, "cases")
    assert said(answer)[0] == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_opens_nothing(client, cast):
    client.force_login(cast.ada)

    assert said(client.get("/api/v1/cases"))[0] == 401


def test_nobody_makes_or_revokes_a_token_of_another(client, cast):
    bens = Membership.objects.select_related("user").get(user=cast.ben)
    with pytest.raises(tokens.TokenRefused):
        tokens.make(bens, by=cast.ada, name="x", scopes=["cases:read"], days=1)
    token = token_of(cast.ben)
    client.force_login(cast.ada)

    client.post(reverse("accounts:revoke_token"), {"token": ApiToken.objects.get().pk})

    assert call(client, token, "cases").status_code == 200


def test_scope_and_role_must_both_allow_it(client, organization, cast):
    review = make_review(make_case(organization, amount="110.00"))
    reader = token_of(cast.ada, scopes=["cases:read", "reviews:read"])
    with pytest.raises(tokens.TokenRefused):
        token_of(cast.ines, scopes=["reviews:decide"])
    decider = token_of(cast.ben, scopes=["reviews:decide"], ceiling=100_000)

    assert said(call(client, reader, f"reviews/{review.pk}/decide", decision(review)))[0] == 403
    assert said(call(client, decider, "cases"))[0] == 403
    Membership.objects.filter(user=cast.ben).update(role=Role.VIEWER)
    assert said(call(client, decider, f"reviews/{review.pk}/decide", decision(review)))[0] == 403
    assert not Vote.objects.exists()


def test_so_many_calls_a_minute(client, cast, settings):
    settings.API_CALLS_A_MINUTE = 3
    token = token_of(cast.ada)

    answers = [call(client, token, "cases") for _ in range(5)]

    # A minute may end in between; then there are as many again.
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused or answers[-1].status_code == 200
    assert all(answer.headers["Retry-After"] == "60" for answer in refused)


# Rows.


def test_what_is_not_ours_is_not_there(client, cast):
    theirs, _ = make_desk("theirs", suffix="-theirs")
    review = make_review(make_case(theirs, amount="110.00"))
    token = token_of(cast.ada, ceiling=100_000)

    for path, body in (
        (f"cases/{review.case_id}", None),
        (f"cases/{review.case_id}/answer", {"text": "Yes."}),
        (f"runs/{review.run_id}", None),
        (f"reviews/{review.pk}/decide", decision(review)),
    ):
        not_there = call(client, token, path.replace(path.split("/")[1], "987654321"), body)
        assert said(call(client, token, path, body)) == said(not_there)
        assert not_there.status_code == 404
    for path in ("cases", "runs", "reviews"):
        assert call(client, token, path).json() == {"items": [], "next": None}


def test_lists_are_read_page_by_page_with_as_many_statements(client, organization, cast, django_assert_max_num_queries):
    made = [make_review(make_case(organization, amount="110.00")) for _ in range(5)]
    token = token_of(cast.ada)

    with django_assert_max_num_queries(6):
        first = call(client, token, "reviews?limit=3").json()
    second = call(client, token, f"reviews?limit=3&before={first['next']}").json()

    found = [item["id"] for item in first["items"] + second["items"]]
    assert found == sorted((review.pk for review in made), reverse=True)
    assert second["next"] is None
    assert first["items"][0]["case"]["amount"] == {"minor": 11_000, "currency": "GBP"}
    assert first["items"][0]["seen"] == made[-1].content_hash
    assert said(call(client, token, "reviews?limit=1000"))[0] == 422
    assert call(client, token, f"runs?case={made[0].case_id}").json()["items"][0]["case_id"] == made[0].case_id


# Deciding.


def test_a_vote_by_a_program_is_the_vote_of_its_person(client, organization, cast):
    review = make_review(make_case(organization, amount="110.00"))

    answer = call(client, token_of(cast.ada, ceiling=11_000), f"reviews/{review.pk}/decide", decision(review))

    assert answer.status_code == 200
    assert [(vote.voter, vote.verdict) for vote in Vote.objects.all()] == [(cast.ada, "approve")]
    assert Entry.objects.filter(verb="approvals.review.voted_approve", user=cast.ada).exists()


@pytest.mark.parametrize(
    ("ceiling", "confirm", "words"),
    [(None, None, "ceiling"), (10_999, None, "ceiling"), (20_000, 5_000, "on the desk")],
)
def test_above_a_ceiling_a_program_approves_nothing(client, organization, cast, ceiling, confirm, words):  # noqa: PLR0917
    organization.confirm_above_minor = confirm
    organization.save()
    review = make_review(make_case(organization, amount="110.00"))

    status, detail = said(
        call(client, token_of(cast.ada, ceiling=ceiling), f"reviews/{review.pk}/decide", decision(review))
    )

    assert (status, words in detail) == (403, True)
    assert not Vote.objects.exists()


def test_nobody_approves_their_own_request_by_a_program_or_another_account(client, organization, cast):
    case = make_case(organization, amount="110.00", requested_by_user=cast.ada)
    review = make_review(case)
    robot = factories.make_member(organization, "ada-robot", Role.OPERATOR)
    robot.person = cast.ada.person
    robot.save()
    robot.teams.set(cast.ada.teams.all())

    for account in (cast.ada, robot):
        answer = call(client, token_of(account, ceiling=100_000), f"reviews/{review.pk}/decide", decision(review))
        assert said(answer)[0] == 409
    assert not Vote.objects.exists()


def test_what_changed_is_not_decided_and_what_is_missing_is_named(client, organization, cast):
    review = make_review(make_case(organization, amount="110.00"))
    token, path = token_of(cast.ada, ceiling=100_000), f"reviews/{review.pk}/decide"

    assert said(call(client, token, path, decision(review, seen="0" * 64)))[0] == 409
    wrong = call(client, token, path, decision(review, reason="because"))
    assert said(wrong)[0] == 422
    assert wrong.json()["errors"][0]["where"] == "reason"
    assert decision(review)["reason"] in wrong.json()["reasons"]
    assert said(call(client, token, path, {"verdict": "maybe"}))[0] == 422
    assert said(call(client, token, path, method="POST"))[0] in (400, 422)
    assert not Vote.objects.exists()


# Opening cases.


def test_a_case_is_opened_once_for_a_key(client, organization, cast):
    trigger = factories.make_form(organization)
    token, key = token_of(cast.ada), "order-4711-refund"
    filled = {"what": "Fetch the pallet.", "amount": "12.00", "currency": "GBP", "urgent": False}
    body = {"workflow": trigger.version.workflow.slug, "form": trigger.key, "fields": filled}
    before = Case.objects.count()

    answers = [call(client, token, "cases", body, Idempotency_Key=key) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}, answers[0].content
    assert len({answer.json()["reference"] for answer in answers}) == 1
    assert Case.objects.count() <= before + 1
    assert said(call(client, token, "cases", body))[0] == 422
    unknown = {**body, "fields": {**filled, "is_staff": True}}
    assert said(call(client, token, "cases", unknown, Idempotency_Key="another-key"))[0] == 422
    assert said(call(client, token, "cases", {**body, "form": "none"}, Idempotency_Key="another-key"))[0] == 404


# Refusals.


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"workflow": "a\\u0000", "form": "b", "fields": {}}', 400),
        (b'{"workflow": "a", "form": "\\ud800", "fields": {}}', 400),
        (b'{"workflow": "a", "workflow": "b", "form": "c", "fields": {}}', 400),
        (b'{"a":' * 5_000, 400),
        (b"\xff\xfe", 400),
        (b'{"workflow": 1, "form": {}, "fields": []}', 422),
        (b"x" * 1_100_000, 400),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(client, cast, body, status):
    headers = {"Authorization": f"Bearer {token_of(cast.ada)}", "Idempotency-Key": "a-long-enough-key"}

    answer = client.generic("POST", "/api/v1/cases", body, content_type="application/json", headers=headers)

    assert said(answer)[0] == status


def test_every_refusal_is_a_problem_document(client, cast, monkeypatch):
    token = token_of(cast.ada)

    wrong = call(client, token, "cases", method="DELETE")
    assert said(wrong)[0] == 405
    assert wrong.headers["Allow"] == "GET, POST"
    assert said(call(client, token, "nothing-like-this"))[0] == 404
    assert said(call(client, token, "cases?key=%00"))[0] == 422
    assert said(call(client, token, "cases?state=perhaps"))[0] == 422
    assert said(call(client, token, f"cases/{'9' * 30}"))[0] == 404
    client.raise_request_exception = False
    monkeypatch.setattr(tokens, "is_within_rate", lambda found: 1 / 0)
    status, detail = said(call(client, token, "cases"))
    assert (status, "division" in detail) == (500, False)


def test_what_the_database_saw_names_the_token(client, organization, cast):
    review = make_review(make_case(organization, amount="110.00"))

    call(client, token_of(cast.ada, ceiling=11_000), f"reviews/{review.pk}/decide", decision(review))

    actors = set(Change.objects.filter(kind="vote").values_list("actor", flat=True))
    assert actors == {f"user {cast.ada.pk} by token {ApiToken.objects.get().pk}"}


# Described.


def test_every_operation_declares_its_scope(monkeypatch):
    assert api_desk.every_operation_declares_its_scope() == []
    bare = NinjaAPI(urls_namespace="bare", docs_url=None, openapi_url=None)
    bare.get("/secrets")(lambda request: None)
    monkeypatch.setattr(api_desk, "api", bare)

    (found,) = api_desk.every_operation_declares_its_scope()

    assert isinstance(found, Error)
    assert "/secrets" in found.msg


def test_staff_reads_what_there_is(client, cast):
    client.force_login(cast.tomasz)

    page = text_of(client.get(reverse("api_index")))
    described = client.get(reverse("api_schema")).json()

    for path, operations in described["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in page
