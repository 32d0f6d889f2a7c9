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
from opsdesk.lib.wording import visible
from workflows.states import FailureKind

USUAL_PATH = "/events"
USUAL_KEY_HOURS = "24"
LONGEST_KEY_HOURS = 30 * 24
STATUSES = ("pending", "succeeded", "failed")
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
    reversal=Reversal(Extent.NONE, "What was told cannot be untold; a second webhook may correct it."),
    idempotency=Idempotency(timedelta(hours=int(USUAL_KEY_HOURS)), Replays.SUCCESSES, looks_up=False),
    verified_by="",
)


def _check_path(value: str) -> str:
    return "" if _PATH.fullmatch(value) else "write a path such as /events."


def _check_verify_path(value: str) -> str:
    known = value.count("{key}") == 1 and not _check_path(value.replace("{key}", "key"))
    return "" if known else "write a path with {key} in it, such as /events/{key}."


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
        self._key_life = timedelta(hours=int(options.get("key_hours", USUAL_KEY_HOURS)))
        self._door = Door(connection, self.calls, limits=limits, proof=_proof)

    @property
    def operations(self) -> Sequence[Operation]:
        """Telling, as this connection can: with or without reading back, for as long as its keys live."""
        looks_up = bool(self._verify_path)
        idempotency = replace(POST.idempotency, key_life=self._key_life, looks_up=looks_up)
        verified_by = "The other side is asked for what it took under our key." if looks_up else ""
        return (replace(POST, idempotency=idempotency, verified_by=verified_by),)

    def perform(self, operation: str, intent: Intent) -> Seen:
        """Post it. The same intent gives the same bytes each time."""
        answer = self._door.send(
            "POST",
            self._path,
            operation=operation,
            document=body_of(intent),
            headers={"Idempotency-Key": str(intent.key), "webhook-id": str(intent.key)},
            says_something=False,
        )
        if not answer.ok:
            raise answer.refusal(f"{self._name}: status {answer.status}")
        said = answer.data or {}
        return Seen(_reference(said, intent.key), _status(said) or "succeeded", intent.key)

    def look_up(self, operation: str, intent: Intent) -> Seen | None:
        """What the other side took under our key."""
        answer = self._ask(intent.key, f"look up {operation}")
        return None if answer.status == 404 else self._seen(answer, intent)

    def read_back(self, operation: str, intent: Intent, reference: str) -> Seen:
        """The same, where it must be there."""
        return self._seen(self._ask(intent.key, f"read {operation}"), intent)

    def _ask(self, key: UUID, purpose: str) -> Answer:
        headers = {"webhook-id": str(key)}
        return self._door.send("GET", self._verify_path.replace("{key}", str(key)), operation=purpose, headers=headers)

    def _seen(self, answer: Answer, intent: Intent) -> Seen:
        """What an answer shows of our effect; raises CallFailed where it shows nothing of it."""
        if not answer.ok:
            raise answer.refusal(f"{self._name}: status {answer.status}")
        said = answer.data or {}
        status = _status(said)
        if said.get("key") != str(intent.key) or not status:
            raise answer.odd(f"{self._name} answered oddly: it names neither our key nor a status.")
        shown = said.get("data")
        differs = (
            "" if shown is None or shown == dict(intent.fields) else f"{self._name} shows other data than was sent."
        )
        return Seen(_reference(said, intent.key), status, intent.key, differs)


def body_of(intent: Intent) -> bytes:
    """What is posted: type, moment and data, as Standard Webhooks recommends; always the same for one intent."""
    document = {
        "type": intent.fields["event"],
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
