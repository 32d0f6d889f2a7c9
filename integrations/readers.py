"""What a Standard Webhooks event says: https://github.com/standard-webhooks/standard-webhooks, payload structure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from integrations.strictjson import read_object
from workflows.errors import Unreadable
from workflows.registry import Reading, add_reader

_TYPE = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
LONGEST_TYPE = 80


def read_standard_event(body: bytes) -> Reading:
    """Read an object with `type`, `data` and, optionally, `timestamp`. Raises Unreadable with a sentence."""
    event = read_object(body)
    data = event.get("data")
    kind = event_type(event)
    if not isinstance(data, dict):
        raise Unreadable("The event has no data object.")
    return Reading(kind, data, _occurred_at(event.get("timestamp")))


def event_type(event: Mapping[str, Any]) -> str:
    """The event's type, such as refund.requested; raises Unreadable."""
    kind = event.get("type")
    if kind is None:
        raise Unreadable("The event has no type.")
    if not isinstance(kind, str) or len(kind) > LONGEST_TYPE or not _TYPE.fullmatch(kind):
        raise Unreadable("The event's type is not words with dots, such as refund.requested.")
    return kind


def _occurred_at(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError as error:
        raise Unreadable("The event's timestamp is not a moment such as 2026-05-01T09:30:00Z.") from error
    if moment.tzinfo is None:
        raise Unreadable("The event's timestamp does not say its zone.")
    return moment


def register() -> None:
    """Teach the engine to read these events."""
    add_reader("standard", read_standard_event)
