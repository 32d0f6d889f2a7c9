"""Sending intents: claimed and committed first, then called, then recorded. No call happens inside a transaction."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from integrations import recording
from integrations.errors import CallFailed
from integrations.evidence import CALLS_AT_ONCE
from integrations.gateways import Receipt, RefundGateway, gateway_of
from integrations.models import Action, Call
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.rows import write_changes
from workflows.states import FailureKind

log = structlog.get_logger(__name__)

# Longer than the longest call: a worker that is silent for this long is gone.
LEASE = timedelta(seconds=60)
# Tries to send one intent; after that a lost answer is only looked up, until its key has expired.
MOST_SENDS = 6
_CLAIMED = ("state", "attempts", "due_at", "lease_until", "epoch", "first_sent_at", "message")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try: a refund (read back or not), a trouble, or the certainty that there was no effect."""

    receipt: Receipt | None = None
    read_back: Receipt | None = None
    trouble: CallFailed | None = None
    never_happened: bool = False


def send_due(limit: int = 20) -> int:
    """Send, look up or verify the actions whose time has come; returns how many."""
    actions = claim(limit)
    if not actions:
        return 0
    calls: list[Call] = []

    def call(action: Action) -> tuple[Action, Answer]:
        gateway = gateway_of(action.connection)
        answer = carry_out(gateway, action)
        for row in gateway.calls:
            row.action_id = action.pk
        calls.extend(gateway.calls)
        return action, answer

    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE) as pool:
        answers = list(pool.map(call, actions))
    Call.objects.bulk_create(calls)
    for action, answer in answers:
        recording.record_answer(action, answer)
    return len(actions)


def claim(limit: int) -> list[Action]:
    """Take due actions for this worker. An expired lease means the answer was lost: unknown, never failed."""
    with transaction.atomic():
        due = (
            Action.objects.filter(
                due_at__lte=Now(),
                state__in=[
                    ActionState.RESERVED,
                    ActionState.SENDING,
                    ActionState.UNKNOWN,
                    ActionState.SUCCEEDED,
                    ActionState.MISMATCHED,
                ],
                connection__enabled=True,
                connection__acting_enabled=True,
                organization__acting_enabled=True,
                run__workflow__enabled=True,
            )
            .order_by("due_at")
            .select_related("connection", "payment")
            .select_for_update(skip_locked=True, of=("self",))
        )
        actions = list(due[:limit])
        now = clock.now()
        for action in actions:
            if action.state == ActionState.SENDING:
                action.check_move(ActionState.UNKNOWN)
                action.take_over(ActionState.UNKNOWN, message="The worker went away before the answer was recorded.")
            changes = {"due_at": now + LEASE, "lease_until": now + LEASE, "epoch": action.epoch + 1}
            state = action.state
            if state not in (ActionState.SUCCEEDED, ActionState.MISMATCHED):
                action.check_move(ActionState.SENDING)
                state = ActionState.SENDING
                changes |= {"attempts": action.attempts + 1}
            # Whether it may have been sent before decides whether it is looked up first.
            action.sent_before = action.first_sent_at is not None
            action.take_over(state, first_sent_at=action.first_sent_at or now, **changes)
        write_changes(actions, _CLAIMED)
    return actions


def carry_out(gateway: RefundGateway, action: Action) -> Answer:
    """One try at an action, outside any transaction. What may have been sent before is looked up first."""
    try:
        receipt = _refund(gateway, action)
    except CallFailed as trouble:
        return Answer(trouble=trouble)
    if receipt is None:
        return Answer(never_happened=True)
    try:
        return Answer(receipt=receipt, read_back=gateway.retrieve_refund(receipt.reference))
    except CallFailed as trouble:
        return Answer(receipt=receipt, trouble=trouble)


def _refund(gateway: RefundGateway, action: Action) -> Receipt | None:
    if action.external_reference:
        return gateway.retrieve_refund(action.external_reference)
    if action.sent_before:
        found = _look_up(gateway, action)
        if found is not None:
            return found
        if not _key_still_lives(gateway, action):
            return None
        if action.attempts > MOST_SENDS:
            # A gateway that repeats its error for the key would do so for ever; the refund may still turn up.
            raise CallFailed(FailureKind.TRANSIENT, "The gateway shows no such refund so far.", effect_possible=True)
    try:
        return gateway.refund(
            payment=action.payment.reference,
            amount=action.amount,
            key=action.key,
            case=f"CASE-{action.case_id}",
        )
    except CallFailed as trouble:
        if action.sent_before and not trouble.effect_possible:
            # A refusal of the repetition may come from our own first try that went through after all.
            found = _look_up(gateway, action)
            if found is not None:
                return found
        raise


def _look_up(gateway: RefundGateway, action: Action) -> Receipt | None:
    """Ask for a refund that may have happened; while there is no answer, the doubt remains."""
    try:
        return gateway.find_refund(payment=action.payment.reference, key=action.key)
    except CallFailed as trouble:
        words = f"It could not be looked up: {trouble.message}"
        raise CallFailed(
            trouble.kind, words, effect_possible=True, retry_after=trouble.retry_after, call=trouble.call
        ) from trouble


def _key_still_lives(gateway: RefundGateway, action: Action) -> bool:
    return action.first_sent_at is not None and clock.now() - action.first_sent_at < gateway.key_life
