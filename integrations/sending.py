"""Sending intents: claimed and committed first, then called, then recorded. No call happens inside a transaction."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from integrations import limits, queueing, recording
from integrations.claiming import claim
from integrations.errors import CallFailed, NobodyKnows
from integrations.logbook import Logbook
from integrations.models import Action, Call, Payment
from integrations.operations import Connector, Effect, Intent, Operation, connector_of
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_lost, patiently
from workflows.states import FailureKind

log = structlog.get_logger(__name__)

# What the longest call takes, and a little more: none is begun that could outlast the lease.
LONGEST_CALL = timedelta(seconds=30)
# What no key protects may still be on its way for so long, although the gateway does not show it.
_UNDER_WAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try: an effect (read back or not), a trouble, or why there certainly was no effect.

    `final` when the effect cannot be read back: that it was accepted is all there will ever be to know.
    """

    seen: Effect | None = None
    read_back: Effect | None = None
    trouble: CallFailed | None = None
    never_happened: str = ""
    final: bool = False


def send_due(limit: int = 20) -> int:
    """Send, look up or verify the actions whose time has come; returns how many were looked at."""
    claimed = claim(limit)
    queueing.wake_probes(claimed.holds)
    queueing.say_why(claimed.holds)
    if not claimed.actions:
        return claimed.looked_at
    written = Logbook(claimed.probes)
    try:
        # All at once, so that none spends its lease waiting for others; each is recorded when its answer comes.
        with ThreadPoolExecutor(max_workers=len(claimed.actions)) as pool:
            under_way = {pool.submit(copy_context().run, _try, action): action for action in claimed.actions}
            for done in as_completed(under_way):
                action, (answer, calls) = under_way[done], done.result()
                with bound_contextvars(**_ids(action)):
                    _record(action, answer)
                written.add(calls)
                limits.give_back(claimed.permits[pk] for pk in [action.pk] if pk in claimed.permits)
    finally:
        written.close()
    return claimed.looked_at


def _ids(action: Action) -> dict[str, int]:
    """What every line of the log says about an action."""
    return {"action_id": action.pk, "run_id": action.run_id, "case_id": action.case_id}


def _try(action: Action) -> tuple[Answer, list[Call]]:
    """One try, in a thread without a database connection, with its log rows."""
    bind_contextvars(**_ids(action))  # in this thread's own copy
    calls: list[Call] = []
    try:
        connector = connector_of(action.connection)
        calls = connector.calls
        answer = carry_out(connector, action)
    except Exception as error:
        log.exception("action_broke")
        message = f"The desk stumbled over it: {type(error).__name__}: {error}"[:300]
        answer = Answer(trouble=CallFailed(FailureKind.TRANSIENT, message, effect_possible=True))
    for row in calls:
        row.action_id, row.part_of = action.pk, action.operation
    return answer, calls


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


def carry_out(connector: Connector, action: Action) -> Answer:
    """One try at an action, outside any transaction. What may have been sent before is looked up first."""
    attempt = _Attempt.of(connector, action)
    if action.external_reference:
        return attempt.read_back(None)
    payment: Payment | None = action.payment
    if payment is not None and payment.overbooked and not action.sent_before:
        words = "Money went back past the desk meanwhile, so it was not sent: look at the payment."
        return Answer(never_happened=words)
    try:
        seen = attempt.bring_about()
    except CallFailed as trouble:
        return Answer(trouble=trouble)
    if seen is None:
        return Answer(never_happened=attempt.never_happened)
    if not attempt.operation.verifies:
        return Answer(seen=seen, final=True)
    return Answer(seen=seen) if attempt.time_is_up() else attempt.read_back(seen)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try of an action at its connector, by what its operation declares."""

    connector: Connector
    operation: Operation
    action: Action
    intent: Intent

    @classmethod
    def of(cls, connector: Connector, action: Action) -> "_Attempt":
        """Raises LookupError where the connector cannot do it, which a definition check keeps from being planned."""
        found = [each for each in connector.operations if each.name == action.operation]
        if not found or found[0].moves_money != action.moves_money:
            raise LookupError(f"{action.connection} has no operation “{action.operation}” of this sort.")
        return cls(connector, found[0], action, intent_of(action))

    @property
    def never_happened(self) -> str:
        """Why there certainly was no effect, after a look-up that found none."""
        who = "The gateway" if self.operation.moves_money else self.action.connection.name
        return f"{who} has no such {self.operation.name}, and its key brings none any more: it never happened."

    def time_is_up(self) -> bool:
        """Whether one more call could outlast the lease: the rest is left to the next try."""
        return monotonic() > self.action.held_until - LONGEST_CALL.total_seconds()

    def read_back(self, seen: Effect | None) -> Answer:
        """The effect as it is shown now, whatever its call answered."""
        reference = seen.reference if seen else self.action.external_reference
        crashpoint("read_back.before")
        try:
            shown = self.connector.read_back(self.operation.name, self.intent, reference)
        except CallFailed as trouble:
            return Answer(seen=seen, trouble=trouble)
        crashpoint("read_back.after")
        return Answer(seen=seen or shown, read_back=shown)

    def bring_about(self) -> Effect | None:
        """The effect as it is, brought about now if need be; None when there certainly is none and will be none."""
        action = self.action
        if action.sent_before:
            found = self._look_up() if self.operation.idempotency.looks_up else None
            if found is not None:
                return found
            if not self._key_still_lives():
                self._refuse_to_repeat()
                return None
        crashpoint("call.before")
        try:
            seen = self.connector.perform(self.operation.name, self.intent)
            crashpoint("call.after")
            return seen
        except CallFailed as trouble:
            if trouble.kind != FailureKind.DATA or not (trouble.effect_possible or action.sent_before):
                raise
            # The refusal may be about our own first try that went through, or about the key: only a look-up tells.
            if not self.operation.idempotency.looks_up:
                raise self._for_a_person(trouble.message) from trouble
            found = self._look_up()
            if found is None and not trouble.effect_possible:
                raise
            return found

    def _look_up(self) -> Effect | None:
        """Our effect, if it is there. A look-up that fails says nothing about the effect, so it stays in doubt."""
        if self.time_is_up():
            words = "The gateway took too long to be asked further."
            raise CallFailed(FailureKind.TRANSIENT, words, effect_possible=True)
        crashpoint("look_up.before")
        try:
            found = self.connector.look_up(self.operation.name, self.intent)
        except CallFailed as trouble:
            words = f"It could not be looked up: {trouble.message}"
            raise CallFailed(
                trouble.kind, words, effect_possible=True, retry_after=trouble.retry_after, call=trouble.call
            ) from trouble
        crashpoint("look_up.after")
        if found is None and self.time_is_up():
            words = "The look-up took too long to send it again."
            raise CallFailed(FailureKind.TRANSIENT, words, effect_possible=True)
        return found

    def _key_still_lives(self) -> bool:
        return self.action.sent_ago < self.operation.idempotency.key_life

    def _refuse_to_repeat(self) -> None:
        """Nothing is found and the key protects no more: only what was sent long ago has certainly come to nothing."""
        if not self.operation.idempotency.looks_up:
            raise self._for_a_person("The answer was lost, and its key protects no more.")
        if self.action.sent_ago < _UNDER_WAY:
            words = "The gateway does not show it; it may yet come."
            raise CallFailed(FailureKind.TRANSIENT, words, effect_possible=True)

    def _for_a_person(self, why: str) -> "NobodyKnows":
        name = self.action.connection.name
        return NobodyKnows(f"{why} {name} cannot be asked whether it happened: look there, then say what is true.")


def intent_of(action: Action) -> Intent:
    """What the connector is told: always the same for the same action."""
    payment: Payment | None = action.payment
    return Intent(
        key=action.key,
        case=f"CASE-{action.case_id}",
        fields=action.fields,
        planned_at=action.created_at,
        target=payment.reference if payment is not None else "",
        amount=action.amount,
    )
