"""Telling other systems by signed webhook: any workflow may, it moves no money, and a lost answer is never guessed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from django.db import IntegrityError, transaction

from auditlog.models import Entry
from integrations.models import Action, Connection
from integrations.secrets import encrypt
from integrations.settling import NotYoursToSettle, settle
from integrations.states import ActionState
from tests.definitions import PACK
from tests.integrations.receiver import Receiver, receiver
from tests.integrations.senders import SHOP_SECRET, standard_headers
from tests.plugins.line import Line
from workflows.engine.repairing import retry
from workflows.errors import Unpublishable
from workflows.models import Case, Failure, Run, StepRun
from workflows.publishing import publish_pack
from workflows.states import CaseState, RunState


@pytest.fixture
def books(line: Line, settings: Any) -> Iterator[Receiver]:
    """Bookkeeping, which wants to hear of every refund; the workflow tells it as its last step."""
    with receiver() as told:
        settings.OUTBOUND_EXCEPTIONS = [*settings.OUTBOUND_EXCEPTIONS, told.url.removeprefix("http://")]
        Connection.objects.create(
            organization=line.organization,
            slug="books",
            name="Books",
            connector="webhook",
            base_url=told.url,
            secret=encrypt(SHOP_SECRET),
        )
        publish(line)
        yield told


def publish(line: Line, **config: Any) -> None:
    """The shipped refund workflow, and at its end the news for bookkeeping."""
    pack = yaml.safe_load(PACK)
    fields = {"event": {"value": "refund.paid"}, "reference": "case.key", "amount": "case.amount"}
    settings = {"connection": "books", "operation": "post", "fields": fields, **config}
    pack["steps"].append({"key": "tell", "kind": "act", "config": settings})
    publish_pack(line.organization, pack, by=None, reason="Bookkeeping wants to know.")


def can(**options: str) -> None:
    """What bookkeeping says it can do besides."""
    Connection.objects.filter(slug="books").update(options=options)


def told_of(case: Case) -> Action:
    return Action.objects.filter(case=case, operation="post").latest("pk")


def state_of(case: Case) -> str:
    case.refresh_from_db()
    return case.state


def test_bookkeeping_hears_of_the_refund_by_a_signed_webhook(line: Line, books: Receiver):
    case = line.ask("20.00")
    line.work()

    [(headers, body)] = books.posts
    action = told_of(case)
    assert json.loads(body) == {
        "case": f"CASE-{case.pk}",
        "type": "refund.paid",
        "timestamp": action.created_at.isoformat(),
        "data": {"event": "refund.paid", "reference": case.key, "amount": {"minor": 2000, "currency": "GBP"}},
    }
    at = int(headers["webhook-timestamp"])
    right = standard_headers(body, message=str(action.key), secret=SHOP_SECRET, at=at)
    assert {name: headers[name] for name in right} == right
    assert headers["idempotency-key"] == str(action.key)
    assert "authorization" not in headers
    assert (action.state, action.moves_money, action.authorization) == (ActionState.SUCCEEDED, False, None)
    assert state_of(case) == CaseState.DONE
    said = StepRun.objects.get(run__case=case, key="tell", outcome="done").note
    assert said == "Post through Books: Books accepted it; it cannot be read back."
    line.assert_sound()


def test_where_it_can_be_asked_it_is_verified(line: Line, books: Receiver):
    can(verify_path="/events/{key}")
    case = line.ask("20.00")

    line.work()

    assert told_of(case).state == ActionState.VERIFIED
    assert books.reads == [str(told_of(case).key)]
    assert state_of(case) == CaseState.DONE


def test_within_the_life_of_the_key_a_lost_answer_is_sent_again_byte_for_byte(line: Line, books: Receiver):
    books.wrong = ["lost"]
    case = line.ask("20.00")

    line.work()
    assert told_of(case).state == ActionState.UNKNOWN
    line.let_pass(minutes=2)

    first, second = books.posts
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]
    assert len(books.taken) == 1
    assert state_of(case) == CaseState.DONE


def test_where_it_can_be_asked_a_lost_answer_is_looked_up_and_not_repeated(line: Line, books: Receiver):
    can(verify_path="/events/{key}", key_hours="0")
    books.wrong = ["lost"]
    case = line.ask("20.00")

    line.work()
    line.let_pass(minutes=2)

    assert len(books.posts) == 1
    assert told_of(case).state == ActionState.VERIFIED
    assert state_of(case) == CaseState.DONE


def test_what_was_never_taken_and_no_key_protects_is_told_anew_after_a_person_looked(line: Line, books: Receiver):
    can(verify_path="/events/{key}", key_hours="0")
    books.wrong = [503]
    case = line.ask("20.00")

    line.work()
    for _ in range(6):
        line.let_pass(minutes=2)
    first = told_of(case)
    assert (first.state, len(books.posts)) == (ActionState.FAILED, 1)
    assert "it never happened" in first.message
    retry(Run.objects.get(case=case).pk, by=line.cast.maya, reason="It is back.")
    line.work()

    assert told_of(case).key != first.key
    assert state_of(case) == CaseState.DONE


@pytest.fixture
def doubtful(line: Line, books: Receiver) -> Case:
    """A lost answer that nothing can clear up: no key protects it, and nobody can be asked."""
    can(key_hours="0")
    books.wrong = ["lost"]
    case = line.ask("20.00")
    line.work()
    for _ in range(3):
        line.let_pass(minutes=2)
    assert len(books.posts) == 1
    return case


def test_what_nobody_can_look_up_is_a_person_s_to_find_out(doubtful: Case):
    action = told_of(doubtful)

    assert (action.state, action.due_at) == (ActionState.UNKNOWN, None)
    assert "look there, then say what is true" in action.message
    assert state_of(doubtful) == CaseState.FAILED
    assert Failure.objects.get().connection == "books"


@pytest.mark.parametrize(("happened", "posts"), [(True, 1), (False, 2)])
def test_what_the_person_found_is_believed_and_the_run_goes_on(
    line: Line, books: Receiver, doubtful: Case, happened: bool, posts: int
):
    action = told_of(doubtful)

    settle(action.pk, happened=happened, by=line.cast.maya, reason="Their list says so.")
    line.work()

    assert len(books.posts) == posts
    assert state_of(doubtful) == CaseState.DONE
    entry = Entry.objects.get(verb="integrations.action.settled")
    assert (entry.user, entry.reason) == (line.cast.maya, "Their list says so.")
    with pytest.raises(NotYoursToSettle):
        settle(action.pk, happened=True, by=line.cast.maya, reason="Once more.")


def test_money_is_never_settled_by_word(line: Line, books: Receiver):
    line.gateway.fault("lost_after", method="POST", path="/v1/refunds", times=100)
    line.gateway.fault("503", method="GET", path="/v1/refunds", times=100)
    line.ask("20.00")
    line.work()
    action = Action.objects.get()
    assert action.state == ActionState.UNKNOWN

    with pytest.raises(NotYoursToSettle):
        settle(action.pk, happened=True, by=line.cast.maya, reason="I saw it.")

    assert Action.objects.get().state == ActionState.UNKNOWN


def test_a_refusal_is_for_people_and_is_told_under_a_new_key(line: Line, books: Receiver):
    books.wrong = [422]
    case = line.ask("20.00")
    line.work()
    assert state_of(case) == CaseState.FAILED
    assert len(line.refunds(case)) == 1

    retry(Run.objects.get(case=case).pk, by=line.cast.maya, reason="They opened the period again.")
    line.work()

    assert len({headers["webhook-id"] for headers, _ in books.posts}) == 2
    assert state_of(case) == CaseState.DONE
    assert len(line.refunds(case)) == 1


def test_other_data_than_was_sent_is_for_people(line: Line, books: Receiver):
    can(verify_path="/events/{key}")
    books.says = {"data": {"event": "refund.paid", "reference": "somebody else's"}}
    case = line.ask("20.00")

    line.work()

    assert told_of(case).state == ActionState.MISMATCHED
    assert state_of(case) == CaseState.FAILED
    assert "shows other data than was sent" in Failure.objects.get().message


def test_what_was_told_is_not_in_the_audit_log(line: Line, books: Receiver):
    case = line.ask("20.00")

    line.work()

    entry = Entry.objects.get(verb="integrations.action.planned", subject_id=str(told_of(case).pk))
    assert entry.after == {"fields": ["amount", "event", "reference"], "key": str(told_of(case).key)}


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"operation": "fax"}, "act can do"),
        ({"operation": "refund"}, "Books cannot refund"),
        ({"connection": "nobody"}, "there is no connection “nobody”"),
        ({"fields": {"reference": "case.key"}}, "post needs “event”: What happened"),
        ({"fields": {"event": {"value": "x"}, "reference": "case.amount"}}, "“reference” of post is text"),
        ({"fields": {"event": "case.secret", "reference": "case.key"}}, "no field of a case and no fact"),
        ({"fields": {"event": {"value": "x"}, "reference": "case.key", "iban": "case.key"}}, "no field “iban”"),
    ],
)
def test_what_cannot_be_told_is_refused_before_it_is_published(
    line: Line, books: Receiver, config: dict[str, Any], complaint: str
):
    with pytest.raises(Unpublishable, match=complaint):
        publish(line, **config)


def test_telling_needs_no_approval_and_money_always_does(line: Line, books: Receiver):
    pack = yaml.safe_load(PACK)
    pack |= {"slug": "news", "name": "News", "opened_by": "news.heard", "case_kind": "news", "withdrawn_by": ""}
    del pack["rules"]
    told = {"connection": "books", "operation": "post"}
    told["fields"] = {"event": {"value": "x"}, "reference": "case.key"}
    pack["steps"] = [{"key": "tell", "kind": "act", "config": told}]

    publish_pack(line.organization, pack, by=None, reason="To try.")

    pack["steps"] = [{"key": "pay", "kind": "act", "config": {"connection": "gateway", "operation": "refund"}}]
    with pytest.raises(Unpublishable, match="act needs a step of the kind approve before it"):
        publish_pack(line.organization, pack, by=None, reason="To try.")


@pytest.mark.parametrize(
    "changes", [{"moves_money": False}, {"authorization": None}, {"amount_minor": None}, {"currency": ""}]
)
def test_the_database_knows_no_money_without_an_authorization(line: Line, changes: dict[str, Any]):
    line.ask("20.00")
    line.work()
    sent = Action.objects.get()
    columns = {field.attname: getattr(sent, field.attname) for field in Action._meta.concrete_fields}
    del columns["id"], columns["key"]

    with pytest.raises(IntegrityError, match=r"money_is_authorized|authorization"), transaction.atomic():
        Action.objects.create(**columns | changes)


WAYS: list[Callable[[Receiver], Any]] = [
    lambda books: setattr(books, "wrong", ["lost"] * 50),
    lambda books: setattr(books, "wrong", [503] * 50),
]


@pytest.mark.parametrize("way", WAYS)
def test_trouble_with_one_system_keeps_no_other_work_waiting(line: Line, books: Receiver, way: Callable[..., Any]):
    way(books)
    cases = [line.ask("20.00") for _ in range(3)]
    line.work()
    for _ in range(4):
        line.let_pass(seconds=30)

    assert len(line.refunds()) == 3
    assert {state_of(case) for case in cases} == {CaseState.OPEN}
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.WAITING}
    books.wrong = []
    for _ in range(4):
        line.let_pass(minutes=10)
    assert {state_of(case) for case in cases} == {CaseState.DONE}
    assert len(books.taken) == 3
