"""Telling an outside system something by a signed webhook; it moves no money."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from integrations.errors import CallFailed
from integrations.http import Answer, Door, Limits
from integrations.models import Call, Connection
from integrations.operations import (
    Extent,
    Field,
    Idempotency,
    Intent,
    Operation,
    Option,
    Replays,
    Reversal,
    Seen,
)
from integrations.signatures import BadSignature, sign
from opsdesk.lib import clock
from opsdesk.lib.money import BadAmount, Money
from opsdesk.lib.wording import visible
from workflows.states import FailureKind

USUAL_PATH = "/events"
USUAL_KEY_HOURS = "24"
LONGEST_KEY_HOURS = 30 * 24
USUAL_RETRACT_HOURS = "720"
STATUSES = ("pending", "succeeded", "failed", "retracted")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?")

POST = Operation(
    name="post",
    label="Tell by webhook",
    fields=(
        Field("event", "text", "What happened, such as refund.paid"),
        Field("reference", "text", "The number by which both sides know it"),
        Field("amount", "money", "The money it is about", required=False),
        Field("party", "text", "The customer it is about", required=False),
        Field("target", "text", "The payment or order it is about", required=False),
        Field("note", "text", "What else there is to say", required=False),
    ),
    moves_money=False,
    reversal=Reversal(
        Extent.NONE,
        "What was told cannot be untold here.",
        instead="A second webhook may correct it.",
    ),
    idempotency=Idempotency(timedelta(hours=int(USUAL_KEY_HOURS)), Replays.SUCCESSES, looks_up=False),
    verified_by="",
)
RETRACT = Operation(
    name="retract",
    label="Take back what was told",
    fields=(
        Field("original_key", "text", "The key under which it was told", granted=True),
        Field("original_reference", "text", "What the other side calls it", granted=True),
    ),
    moves_money=False,
    reversal=Reversal(Extent.NONE, "What was taken back is told anew, not restored."),
    idempotency=Idempotency(timedelta(hours=int(USUAL_KEY_HOURS)), Replays.SUCCESSES, looks_up=True),
    verified_by="The other side is asked whether what it took under the first key is taken back.",
    undoes="post",
)


def _check_path(value: str) -> str:
    return "" if _PATH.fullmatch(value) else "write a path such as /events."


def _check_verify_path(value: str) -> str:
    known = value.count("{key}") == 1 and not _check_path(value.replace("{key}", "key"))
    return "" if known else "write a path with {key} in it, such as /events/{key}."


def _check_amount(value: str) -> str:
    try:
        known = _money(value).minor > 0
    except BadAmount:
        known = False
    return "" if known else "write an amount with its currency, such as 2.50 GBP."


def _money(value: str) -> Money:
    """“2.50 GBP” as money; raises BadAmount."""
    return Money.parse(*(value.split(" ", 1) if " " in value else (value, "")))


def _check_hours(value: str) -> str:
    known = value.isdecimal() and int(value) <= LONGEST_KEY_HOURS
    return "" if known else f"write whole hours, at most {LONGEST_KEY_HOURS}; 0 where repeating is never safe."


OPTIONS = (
    Option("path", "Path", f"Where it is posted to, below the address; {USUAL_PATH} unless given.", _check_path),
    Option(
        "verify_path", "Path to verify", "Where it is read back, with {key}; none unless given.", _check_verify_path
    ),
    Option(
        "key_hours",
        "Hours a key is remembered",
        f"For how long the other side knows a webhook-id it has seen; {USUAL_KEY_HOURS} unless given.",
        _check_hours,
    ),
    Option(
        "retract_path",
        "Path to take back",
        "Where the other side is told to take back what it took, with {key}; it cannot unless given.",
        _check_verify_path,
    ),
    Option(
        "retract_hours",
        "Hours to take back",
        f"For how long after it was told; {USUAL_RETRACT_HOURS} unless given.",
        _check_hours,
    ),
    Option(
        "retract_fee",
        "Price of taking back",
        "What the other side asks for it, such as 2.50 GBP; nothing unless given.",
        _check_amount,
    ),
)


class WebhookConnector:
    """Posts JSON as Standard Webhooks describes it, the action's key as its id and as Idempotency-Key.

    https://github.com/standard-webhooks/standard-webhooks: receivers know copies by the id. Where the other side can
    be asked for what it took, an effect is looked up and verified; elsewhere its being accepted is all there is.
    """

    def __init__(self, connection: Connection, *, limits: Limits | None = None) -> None:
        self.calls: list[Call] = []
        self._name = connection.name
        options: Mapping[str, str] = connection.options
        self._path = options.get("path", USUAL_PATH)
        self._verify_path = options.get("verify_path", "")
        self._retract_path = options.get("retract_path", "")
        self._retract_within = timedelta(hours=int(options.get("retract_hours", USUAL_RETRACT_HOURS)))
        self._retract_fee = options.get("retract_fee", "")
        self._key_life = timedelta(hours=int(options.get("key_hours", USUAL_KEY_HOURS)))
        self._door = Door(connection, self.calls, limits=limits, proof=_proof)

    @property
    def operations(self) -> Sequence[Operation]:
        """Telling, as this connection can: with or without reading back or taking back, as long as its keys live."""
        looks_up = bool(self._verify_path)
        idempotency = replace(POST.idempotency, key_life=self._key_life, looks_up=looks_up)
        verified_by = "The other side is asked for what it took under our key." if looks_up else ""
        post = replace(POST, idempotency=idempotency, verified_by=verified_by)
        # Nothing is offered to be taken back of which nobody could see whether it was.
        if not (self._retract_path and looks_up and self._retract_within):
            return (post,)
        retract = replace(RETRACT, idempotency=replace(RETRACT.idempotency, key_life=self._key_life))
        return (replace(post, reversal=self._reversal), retract)

    @property
    def _reversal(self) -> Reversal:
        return Reversal(
            Extent.FULL,
            f"{self._name} is told to take back what it was told under the first key, and asked whether it did.",
            by=RETRACT.name,
            within=self._retract_within,
            fee=_money(self._retract_fee) if self._retract_fee else None,
        )

    def perform(self, operation: str, intent: Intent) -> Seen:
        """Post it, or that something is taken back. The same intent gives the same bytes each time."""
        answer = self._door.send(
            "POST",
            self._path if operation != RETRACT.name else _at(self._retract_path, _first_key(intent)),
            operation=operation,
            document=body_of(intent, operation),
            headers={"Idempotency-Key": str(intent.key), "webhook-id": str(intent.key)},
            says_something=False,
        )
        if not answer.ok:
            raise answer.refusal(f"{self._name}: status {answer.status}")
        said = answer.data or {}
        if operation == RETRACT.name:
            return Seen(_reference(said, intent.key), "succeeded", intent.key)
        return Seen(_reference(said, intent.key), _status(said) or "succeeded", intent.key)

    def look_up(self, operation: str, intent: Intent) -> Seen | None:
        """What the other side took under our key; for taking back, whether what it took is taken back."""
        if operation == RETRACT.name:
            found = self._as_taken_back(intent, f"look up {operation}")
            return found if found.status == "succeeded" else None
        answer = self._ask(intent.key, f"look up {operation}")
        return None if answer.status == 404 else self._seen(answer, intent)

    def read_back(self, operation: str, intent: Intent, reference: str) -> Seen:
        """The same, where it must be there."""
        if operation == RETRACT.name:
            return self._as_taken_back(intent, f"read {operation}")
        return self._seen(self._ask(intent.key, f"read {operation}"), intent)

    def _as_taken_back(self, intent: Intent, purpose: str) -> Seen:
        """What became of what was told under the first key: taken back, or standing still."""
        answer = self._ask(_first_key(intent), purpose)
        said = self._said(answer, _first_key(intent))
        status = "succeeded" if _status(said) == "retracted" else "pending"
        return Seen(_reference(said, intent.key), status, intent.key)

    def _ask(self, key: UUID, purpose: str) -> Answer:
        headers = {"webhook-id": str(key)}
        return self._door.send("GET", _at(self._verify_path, key), operation=purpose, headers=headers)

    def _said(self, answer: Answer, key: UUID) -> Mapping[str, Any]:
        """What an answer says about what was told under a key; raises CallFailed where it says nothing of it."""
        if not answer.ok:
            raise answer.refusal(f"{self._name}: status {answer.status}")
        said = answer.data or {}
        if said.get("key") != str(key) or not _status(said):
            raise answer.odd(f"{self._name} answered oddly: it names neither our key nor a status.")
        return said

    def _seen(self, answer: Answer, intent: Intent) -> Seen:
        """What an answer shows of our effect; raises CallFailed where it shows nothing of it."""
        said = self._said(answer, intent.key)
        # What they took back by themselves does not stand, so it counts as not done.
        status = _status(said).replace("retracted", "failed")
        shown = said.get("data")
        differs = (
            "" if shown is None or shown == dict(intent.fields) else f"{self._name} shows other data than was sent."
        )
        return Seen(_reference(said, intent.key), status, intent.key, differs)


def _at(path: str, key: UUID) -> str:
    return path.replace("{key}", str(key))


def _first_key(intent: Intent) -> UUID:
    """The key under which that was told which is taken back. Raises CallFailed where the intent names none."""
    try:
        return UUID(str(intent.fields.get("original_key")))
    except ValueError as error:
        raise CallFailed(FailureKind.DATA, "It does not say what is taken back.", effect_possible=False) from error


def body_of(intent: Intent, operation: str = POST.name) -> bytes:
    """What is posted: type, moment and data, as Standard Webhooks recommends; always the same for one intent."""
    document = {
        "type": "taken_back" if operation == RETRACT.name else intent.fields["event"],
        "timestamp": intent.planned_at.isoformat(),
        "case": intent.case,
        "data": dict(intent.fields),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _proof(secret: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    """A signature over the bytes; the secret itself goes nowhere."""
    try:
        return sign(secret, message=headers["webhook-id"], at=clock.now(), body=body)
    except BadSignature as bad:
        words = f"The signing secret cannot be used: {bad}."
        raise CallFailed(FailureKind.INFRASTRUCTURE, words, effect_possible=False) from bad


def _status(said: Mapping[str, Any]) -> str:
    status = said.get("status")
    return status if isinstance(status, str) and status in STATUSES else ""


def _reference(said: Mapping[str, Any], key: UUID) -> str:
    given = said.get("id")
    return visible(given, at_most=99) if isinstance(given, str) and given else str(key)
