"""Sending intents: claimed and committed first, then called, then recorded. No call happens inside a transaction."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from structlog.contextvars import bind_contextvars, bound_contextvars

from integrations import recording
from integrations.errors import CallFailed
from integrations.gateways import Receipt, RefundGateway, gateway_of
from integrations.models import Action, Call
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_lost, patiently
from opsdesk.lib.rows import write_changes
from workflows.engine.failing import MOST_COUNTED
from workflows.recovery import mode, tide
from workflows.states import FailureKind

log = structlog.get_logger(__name__)

# Longer than the longest call: a worker that is silent for this long is gone.
LEASE = timedelta(seconds=60)
# What the longest call takes, and a little more: none is begun that could outlast the lease.
LONGEST_CALL = timedelta(seconds=30)
# What no key protects may still be on its way for so long, although the gateway does not show it.
_UNDER_WAY = timedelta(minutes=5)
# What was sent and is only looked at: reading goes on behind a kill switch for actions.
_TO_READ = (ActionState.SUCCEEDED, ActionState.MISMATCHED)
_CLAIMED = ("state", "attempts", "due_at", "lease_until", "epoch", "first_sent_at", "message")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try: a refund (read back or not), a trouble, or why there certainly was no effect."""

    receipt: Receipt | None = None
    read_back: Receipt | None = None
    trouble: CallFailed | None = None
    never_happened: str = ""


def send_due(limit: int = 20) -> int:
    """Send, look up or verify the actions whose time has come; returns how many."""
    actions = claim(limit)
    if not actions:
        return 0
    calls: list[Call] = []
    try:
        # All at once, so that none spends its lease waiting for others; each is recorded when its answer comes.
        with ThreadPoolExecutor(max_workers=len(actions)) as pool:
            under_way = {pool.submit(copy_context().run, _try, action, calls): action for action in actions}
            for done in as_completed(under_way):
                action = under_way[done]
                with bound_contextvars(**_ids(action)):
                    _record(action, done.result())
    finally:
        Call.objects.bulk_create(calls)
    return len(actions)


def _ids(action: Action) -> dict[str, int]:
    """What every line of the log says about an action."""
    return {"action_id": action.pk, "run_id": action.run_id, "case_id": action.case_id}


def _try(action: Action, calls: list[Call]) -> Answer:
    """One try, in a thread without a database connection; its log rows go to `calls`."""
    bind_contextvars(**_ids(action))  # in this thread's own copy
    try:
        gateway = gateway_of(action.connection)
        try:
            return carry_out(gateway, action)
        finally:
            for row in gateway.calls:
                row.action_id = action.pk
            calls.extend(gateway.calls)
    except Exception as error:
        log.exception("action_broke")
        message = f"The desk stumbled over it: {type(error).__name__}: {error}"[:300]
        return Answer(trouble=CallFailed(FailureKind.TRANSIENT, message, effect_possible=True))


def _record(action: Action, answer: Answer) -> None:
    """Record one answer; what cannot be written now is looked up when its lease has expired."""
    crashpoint("record.before")
    try:
        patiently(lambda: recording.record_answer(action, answer))
        crashpoint("record.after_commit")
    except Exception as error:
        if is_lost(error):
            raise
        log.exception("answer_not_recorded")


def claimable() -> QuerySet[Action]:
    """Actions a worker may take now, the longest due first: due, and held back by no switch."""
    may_send = ~Q(organization_id__in=mode.held()) & Q(
        state__in=[ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN],
        connection__acting_enabled=True,
        organization__acting_enabled=True,
        run__workflow__enabled=True,
    )
    return (
        Action.objects.filter(may_send | Q(state__in=_TO_READ), due_at__lte=Now(), connection__enabled=True)
        # News about the payment is read first: it may leave less than is held.
        .exclude(state=ActionState.RESERVED, payment__reread_at__lte=Now())
        .order_by("due_at")
    )


def claim(limit: int) -> list[Action]:
    """Take due actions for this worker. An expired lease means the answer was lost: unknown, never failed."""
    tide.look_when_connected_anew()
    with transaction.atomic():
        due = claimable().select_related("connection", "payment").select_for_update(skip_locked=True, of=("self",))
        actions = list(due[:limit])
        now = clock.now()
        for action in actions:
            if action.state == ActionState.SENDING:
                action.check_move(ActionState.UNKNOWN)
                action.take_over(ActionState.UNKNOWN, message="The worker went away before the answer was recorded.")
            changes = {"due_at": now + LEASE, "lease_until": now + LEASE, "epoch": action.epoch + 1}
            state = action.state
            if state not in _TO_READ:
                action.check_move(ActionState.SENDING)
                state = ActionState.SENDING
                changes |= {"attempts": min(action.attempts + 1, MOST_COUNTED)}
            # Whether it may have been sent before decides whether it is looked up first.
            action.sent_before = action.first_sent_at is not None
            action.take_over(state, first_sent_at=action.first_sent_at or now, **changes)
        write_changes(actions, _CLAIMED)
        if actions:
            crashpoint("sending.before_commit")
    if actions:
        crashpoint("sending.after_commit")
    return actions


def carry_out(gateway: RefundGateway, action: Action) -> Answer:
    """One try at an action, outside any transaction. What may have been sent before is looked up first."""
    if action.external_reference:
        return _read_back(gateway, action, None)
    if action.payment.overbooked and not action.sent_before:
        return Answer(
            never_happened="Money went back past the desk meanwhile, so it was not sent: look at the payment."
        )
    try:
        receipt = _refund(gateway, action)
    except CallFailed as trouble:
        return Answer(trouble=trouble)
    if receipt is None:
        words = "The gateway has no such refund, and its key brings none any more: it never happened."
        return Answer(never_happened=words)
    return Answer(receipt=receipt) if _time_is_up(action) else _read_back(gateway, action, receipt)


def _read_back(gateway: RefundGateway, action: Action, receipt: Receipt | None) -> Answer:
    reference = receipt.reference if receipt else action.external_reference
    crashpoint("read_back.before")
    try:
        seen = gateway.retrieve_refund(reference)
    except CallFailed as trouble:
        return Answer(receipt=receipt, trouble=trouble)
    crashpoint("read_back.after")
    return Answer(receipt=receipt or seen, read_back=seen)


def _refund(gateway: RefundGateway, action: Action) -> Receipt | None:
    """The refund as the gateway has it, made now if need be; None when there certainly is none and will be none."""
    if action.sent_before:
        found = _look_up(gateway, action)
        if found is not None:
            return found
        if not _key_still_lives(gateway, action):
            _refuse_while_under_way(action)
            return None
    crashpoint("call.before")
    try:
        receipt = gateway.refund(
            payment=action.payment.reference,
            amount=action.amount,
            key=action.key,
            case=f"CASE-{action.case_id}",
        )
        crashpoint("call.after")
        return receipt
    except CallFailed as trouble:
        if trouble.kind != FailureKind.DATA or not (trouble.effect_possible or action.sent_before):
            raise
        # The refusal may be about our own first try that went through, or about the key itself: only a look-up tells.
        found = _look_up(gateway, action)
        if found is None and not trouble.effect_possible:
            raise
        return found


def _look_up(gateway: RefundGateway, action: Action) -> Receipt | None:
    """Our refund, if the gateway has it. A look-up that fails says nothing about the refund, so it stays in doubt."""
    if _time_is_up(action):
        raise CallFailed(FailureKind.TRANSIENT, "The gateway took too long to be asked further.", effect_possible=True)
    crashpoint("look_up.before")
    try:
        found = gateway.find_refund(payment=action.payment.reference, key=action.key)
    except CallFailed as trouble:
        words = f"It could not be looked up: {trouble.message}"
        raise CallFailed(
            trouble.kind, words, effect_possible=True, retry_after=trouble.retry_after, call=trouble.call
        ) from trouble
    crashpoint("look_up.after")
    if found is None and _time_is_up(action):
        raise CallFailed(FailureKind.TRANSIENT, "The look-up took too long to send it again.", effect_possible=True)
    return found


def _key_still_lives(gateway: RefundGateway, action: Action) -> bool:
    return action.first_sent_at is not None and clock.now() - action.first_sent_at < gateway.key_life


def _refuse_while_under_way(action: Action) -> None:
    """Nothing is found and the key protects no more: only what was sent long ago has certainly come to nothing."""
    if action.first_sent_at is not None and clock.now() - action.first_sent_at < _UNDER_WAY:
        raise CallFailed(FailureKind.TRANSIENT, "The gateway does not show it; it may yet come.", effect_possible=True)


def _time_is_up(action: Action) -> bool:
    """Whether one more call could outlast the lease: the rest is left to the next try."""
    return action.lease_until is not None and clock.now() > action.lease_until - LONGEST_CALL
