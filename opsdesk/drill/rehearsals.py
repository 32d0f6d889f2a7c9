"""What the drill does for each operation that is declared to be taken back: bring it about, take it back, look.

It speaks to the sandbox through the connectors themselves, over connections that are stored nowhere, so that no row of
the desk and no real system is touched. An operation without an entry here fails the drill.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from integrations.models import Connection
from integrations.operations import Intent, Operation, connector_of, operation_of, stands_declared
from integrations.secrets import encrypt
from opsdesk.drill.world import World
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money

_API_KEY = "sk_test_of_the_drill"
_SIGNING_KEY = "whsec_" + base64.b64encode(b"signs for the drill only").decode()
_PAYMENT = "pi_drill"
_AMOUNT = Money(2_000, "GBP")


class Rotten(DomainError):
    """What is declared does not work; says at which step."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One reversal that works: what was seen, in words, and how many calls it took."""

    words: str
    calls: int


Setting = Callable[[World], tuple[Connection, Intent]]


def _held_refund(world: World) -> tuple[Connection, Intent]:
    """A refund that waits for the customer's details."""
    made = {"id": _PAYMENT, "amount": _AMOUNT.minor, "currency": _AMOUNT.currency, "created": 1_700_000_000}
    world.control("seed", {"customers": [], "payments": [made]})
    match = {"method": "POST", "path_prefix": "/v1/refunds"}
    world.control("faults", {"fault": "requires_action", "match": match, "times": 1})
    connection = _connection("stripe", world.gateway, _API_KEY)
    return connection, Intent(uuid4(), "CASE-0", {}, clock.now(), target=_PAYMENT, amount=_AMOUNT)


def _told(world: World) -> tuple[Connection, Intent]:
    """Something that bookkeeping was told."""
    options = {"verify_path": "/events/{key}", "retract_path": "/events/{key}/retract"}
    connection = _connection("webhook", world.books, _SIGNING_KEY, **options)
    return connection, Intent(uuid4(), "CASE-0", {"event": "drill.told", "reference": "drill"}, clock.now())


# By connector and operation.
SETTINGS: Mapping[tuple[str, str], Setting] = {
    ("stripe", "refund"): _held_refund,
    ("webhook", "post"): _told,
}


def _connection(connector: str, url: str, secret: str, **options: str) -> Connection:
    name = f"Sandbox of {connector}"
    return Connection(
        slug="drill", name=name, connector=connector, base_url=url, secret=encrypt(secret), options=options
    )


def declared() -> list[tuple[str, str]]:
    """Connector and operation of everything that may be taken back over some connection, as far as it is declared."""
    return sorted({*SETTINGS, *stands_declared()})


def try_out(connector: str, operation: str, world: World) -> Tried:
    """Do it, take it back, take it back once more under the same key, and look. Raises Rotten, CallFailed."""
    setting = SETTINGS.get((connector, operation))
    if setting is None:
        raise Rotten("The drill does not know how to bring it about: add it to opsdesk/drill/rehearsals.py.")
    connection, intent = setting(world)
    found = operation_of(connection, operation)
    by = found.reversal.by if found is not None else ""
    back = operation_of(connection, by) if by else None
    if found is None or back is None:
        raise Rotten(f"{operation} is no longer declared to be taken back.")
    return _do_and_undo(connection, found, back, intent)


def _do_and_undo(connection: Connection, operation: Operation, back: Operation, intent: Intent) -> Tried:
    speaker = connector_of(connection)
    done = speaker.perform(operation.name, intent)
    fields = {"original_key": str(intent.key), "original_reference": done.reference}
    counter = Intent(uuid4(), intent.case, fields, clock.now())
    if back.idempotency.looks_up and speaker.look_up(back.name, counter) is not None:
        raise Rotten(f"{back.label}: it is shown as done before it was asked for.")
    for _ in range(2):  # a repeated call must change nothing
        taken = speaker.perform(back.name, counter)
    seen = speaker.read_back(back.name, counter, taken.reference)
    if seen.status != "succeeded":
        raise Rotten(f"{back.label}: asked afterwards, {connection.name} shows it as {seen.status}.")
    after = speaker.read_back(operation.name, intent, done.reference)
    if after.status == "succeeded":
        raise Rotten(f"{back.label} was accepted, and what it takes back stands all the same.")
    return Tried(f"{operation.label}, then {back.label.lower()}: seen to be taken back.", len(speaker.calls))
