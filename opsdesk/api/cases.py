"""Cases: look, open one by a declared form, answer what was asked about one."""

import json
from datetime import datetime
from typing import Annotated, Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Header, Query, Schema
from pydantic import Field

from accounts.tokens import Scope, digest_of
from approvals import asking
from approvals.models import Question
from opsdesk.api.desk import Caller, api, needs
from opsdesk.api.problems import Refused
from opsdesk.lib import clock
from workflows import cases
from workflows.engine import intake
from workflows.models import Case, Event, Trigger
from workflows.states import CaseState, EventState
from workflows.triggers import fields, own_events, showing

MOST = 100


class Amount(Schema):
    """Money in the smallest unit of its currency."""

    minor: int
    currency: str


class CaseOut(Schema):
    """A case as the desk's own pages show it."""

    id: int
    kind: str
    key: str
    state: str
    standing: str
    party: str
    amount: Amount | None
    requested_by: str
    opened_at: datetime
    closed_at: datetime | None

    @staticmethod
    def resolve_amount(case: Case) -> dict[str, Any] | None:
        return None if case.amount is None else {"minor": case.amount.minor, "currency": case.amount.currency}


class Cases(Schema):
    """Some of them, newest first; `next` is what to send as `before` for those after them."""

    items: list[CaseOut]
    next: int | None


class NewCase(Schema):
    """A form by workflow and trigger, and what is filled in."""

    workflow: str
    form: str
    fields: dict[str, Any]


class Opened(Schema):
    """What became of it; without a case it opens in a moment."""

    case: CaseOut | None
    reference: str


class Answer(Schema):
    """What the requester says."""

    text: str = Field(min_length=1, max_length=4000)


def page_of(rows: Any, before: int | None, limit: int) -> dict[str, Any]:
    """The next rows by their key, newest first."""
    rows = rows.order_by("-pk")
    found = list((rows.filter(pk__lt=before) if before else rows)[: limit + 1])
    return {"items": found[:limit], "next": found[limit - 1].pk if len(found) > limit else None}


Before = Annotated[int | None, Query(None, ge=1, lt=2**63)]
Limit = Annotated[int, Query(50, ge=1, le=MOST)]
Key = Annotated[str | None, Query(None, max_length=200, pattern=r"^[^\x00]*$")]


@api.get("/cases", response=Cases, url_name="cases", summary="List cases")
@needs(Scope.CASES_READ)
def list_cases(
    request: Caller, state: CaseState | None = None, key: Key = None, before: Before = None, limit: Limit = 50
) -> Any:
    """Newest first; “state” and “key” (the sender's own number) narrow them down."""
    rows = Case.objects.visible_to(request.membership)
    rows = rows.filter(state=state) if state else rows
    return page_of(rows.filter(key=key) if key else rows, before, limit)


@api.get("/cases/{int:pk}", response=CaseOut, url_name="case", summary="One case")
@needs(Scope.CASES_READ)
def one_case(request: Caller, pk: int) -> Any:
    """A case of the token's organization."""
    return get_object_or_404(Case.objects.visible_to(request.membership), pk=pk)


@api.post("/cases", response={200: Opened}, url_name="open_case", summary="Open a case by a declared form")
@needs(Scope.CASES_CREATE)
def open_case(
    request: Caller,
    new: NewCase,
    idempotency_key: Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=100)],
) -> Any:
    """The same Idempotency-Key opens one case, however often it is sent; with other content it is refused."""
    trigger = _form(request, new)
    form = fields.form_of(trigger.config["fields"])({name: _typed(value) for name, value in new.fields.items()})
    unknown = sorted(new.fields.keys() - form.fields.keys())
    if unknown or not form.is_valid():
        wrong = [{"where": name, "what": str(errors[0])} for name, errors in form.errors.items()]
        wrong += [{"where": name, "what": "The form has no such field."} for name in unknown]
        raise Refused(422, "Correct the named fields and send it again.", errors=wrong)
    sent = fields.sent(form)
    key = f"{request.user.pk}:api:{idempotency_key}"
    named = {"requested_by": str(request.user), "requested_at": clock.now().isoformat()}
    data = {**sent, **named, "reference": f"A-{_short(key)}"}
    problems = cases.content_from(trigger.version.fields, data, unnamed="form")["problems"]
    if problems:
        raise Refused(
            422, "Correct what is said and send it again.", errors=[{"where": "", "what": p} for p in problems]
        )
    event, is_new = own_events.tell(
        trigger.version.workflow,
        trigger=trigger.key,
        kind="form",
        key=key,
        data=data,
        by=f"form {trigger.key}, by a program",
        requester_id=request.user.pk,
    )
    if not is_new:
        _check_same(event, sent)
    intake.take_one(event.pk)
    return _opened(event, data["reference"])


def _short(key: str) -> str:
    return digest_of(key)[:12].upper()


def _typed(value: Any) -> Any:
    """As a form in a browser would send it."""
    return value if isinstance(value, bool | list) or value is None else str(value)


def _form(request: Caller, new: NewCase) -> Trigger:
    for trigger in showing.forms_of(request.membership):
        if (trigger.version.workflow.slug, trigger.key) == (new.workflow, new.form):
            return trigger
    raise Http404


def _check_same(event: Event, sent: dict[str, Any]) -> None:
    before = json.loads(bytes(event.body))["data"]
    if any(before.get(name) != value for name, value in sent.items()):
        raise Refused(409, "This Idempotency-Key was sent with other content: take a new key for another case.")


def _opened(event: Event, reference: str) -> dict[str, Any]:
    event.refresh_from_db()
    if event.state in (EventState.IGNORED, EventState.QUARANTINED):
        raise Refused(409, f"No case was opened: {event.reason}")
    return {"case": event.case, "reference": reference}


@api.post("/cases/{int:pk}/answer", response=CaseOut, url_name="answer", summary="Answer the question about a case")
@needs(Scope.QUESTIONS_ANSWER)
def answer(request: Caller, pk: int, said: Answer) -> Any:
    """Take the answer to the question that waits, and have the case decided on."""
    case = get_object_or_404(Case.objects.visible_to(request.membership), pk=pk)
    question = Question.objects.filter(case=case).order_by("-pk").first()
    if question is None:
        raise Http404
    asking.answer_by_person(question.pk, by=request.user, text=said.text)
    return Case.objects.get(pk=pk)
