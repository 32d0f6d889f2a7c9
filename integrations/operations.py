"""What can be done at an outside system: each operation declares itself, and steps, sender and recording go by that.

A connector is one file; `add_connector` registers it with its operations. connectors/README.md has the recipe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.db import models

from integrations.models import Call, Connection
from opsdesk.lib.money import Money
from opsdesk.lib.wording import span


class Extent(models.TextChoices):
    """How much of an effect can be taken back."""

    FULL = "full", "in full"
    PARTIAL = "partial", "in part"
    NONE = "none", "not at all"


class Replays(models.TextChoices):
    """What the other side answers to a key it knows."""

    EVERYTHING = "everything", "its first answer, errors included"
    SUCCESSES = "successes", "its first answer, unless that was an error"
    NOTHING = "nothing", "nothing: keys mean nothing to it"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an operation is told. Types are those of facts: text, money, count, days, ratio, flag.

    A `granted` field comes from the authorization alone; no step can set it.
    """

    name: str
    type: str
    label: str
    required: bool = True
    granted: bool = False


@dataclass(frozen=True, slots=True)
class Reversal:
    """How an effect is taken back: how much of it, until when, at what cost and by which operation; said to people.

    `by` is an operation of the same connector that takes back; none where nothing can. `while_held`: only as long as
    the other side holds the effect back and says that it may be called off; `until` says the same in words.
    """

    extent: Extent
    how: str
    by: str = ""
    within: timedelta | None = None  # after it was accepted
    while_held: bool = False
    until: str = ""
    fee: Money | None = None  # what the other side asks for it, where that is known
    instead: str = ""  # the next best, where it cannot be taken back or no longer

    @property
    def until_words(self) -> str:
        """Until when, in words."""
        return self.until or (f"for {span(self.within)}" if self.within else "at any time")

    @property
    def cost_words(self) -> str:
        """What it costs, in words."""
        return f"costs {self.fee}" if self.fee else "costs nothing"

    @property
    def in_words(self) -> str:
        """All of it as one text."""
        if not self.by:
            return " ".join(filter(None, [f"{self.extent.label}: {self.how}", self.instead]))
        words = f"{self.extent.label}, {self.until_words}, {self.cost_words}: {self.how}"
        return " ".join(filter(None, [words, self.instead]))


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What makes a repetition harmless. Past `key_life` nothing is sent again: it is looked up, or a person asks."""

    key_life: timedelta
    replays: Replays
    looks_up: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of effect. What moves money is planned under an authorization and booked on its payment."""

    name: str
    label: str
    fields: tuple[Field, ...]
    moves_money: bool
    reversal: Reversal
    idempotency: Idempotency
    verified_by: str  # how it is read back, in words; "" where it cannot be
    most_attempts: int | None = None  # tries without effect; None: as the connection says
    undoes: str = ""  # the operation whose effects it takes back: only a reversal plans it, never a step by itself

    @property
    def takes_back(self) -> bool:
        """Whether it undoes what another one did."""
        return bool(self.undoes)

    @property
    def verifies(self) -> bool:
        """Whether the effect can be read back."""
        return bool(self.verified_by)


@dataclass(frozen=True, slots=True)
class Intent:
    """One intended effect as a connector is told of it. `key` never changes; money and target come with a grant."""

    key: UUID
    case: str
    fields: Mapping[str, Any]
    planned_at: datetime
    target: str = ""
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An effect as the other side has it now; `differs` says in what it is not what was intended. Status as a refund's.

    An operation that moves money answers with a gateways.Receipt instead, which says how much.
    """

    reference: str
    status: str
    key: UUID | None = None
    differs: str = ""


class Effect(Protocol):
    """What Seen and Receipt share."""

    @property
    def reference(self) -> str: ...
    @property
    def status(self) -> str: ...


class Connector(Protocol):
    """Speaks one protocol over one connection. Every method raises CallFailed; `calls` collects unsaved log rows."""

    calls: list[Call]

    @property
    def operations(self) -> Sequence[Operation]:
        """What it can do over this connection."""
        ...

    def perform(self, operation: str, intent: Intent) -> Effect:
        """Bring the effect about; safe to call again with the same key within the key's life."""
        ...

    def look_up(self, operation: str, intent: Intent) -> Effect | None:
        """The effect that our key had, if there is one. Only asked where the operation looks up."""
        ...

    def read_back(self, operation: str, intent: Intent, reference: str) -> Effect:
        """The effect as it is now. Only asked where the operation verifies."""
        ...


Build = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting that a connector asks of its connections, as text; `check` says what is wrong with a value, or ""."""

    name: str
    label: str
    help_text: str
    check: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Registered:
    """A connector as it was registered."""

    build: Build
    operations: tuple[Operation, ...]
    options: tuple[Option, ...]


_connectors: dict[str, Registered] = {}


def add_connector(
    name: str, build: Build, operations: Sequence[Operation] = (), options: Sequence[Option] = ()
) -> None:
    """Register the connector that speaks the protocol `name`, with what it can do and what it must be told.

    Raises ValueError where an operation is said to be taken back by one that is not there, or not meant for it.
    """
    for each in operations:
        check_reversal(each, operations)
    _connectors[name] = Registered(build, tuple(operations), tuple(options))


def check_reversal(operation: Operation, among: Sequence[Operation]) -> None:
    """Raise ValueError unless what an operation says about being taken back can be carried out by one of these."""
    reversal = operation.reversal
    if (reversal.extent == Extent.NONE) != (not reversal.by):
        raise ValueError(f"{operation.name}: what can be taken back names the operation that does it, and only that.")
    if reversal.by and not any(each.name == reversal.by and each.undoes == operation.name for each in among):
        raise ValueError(f"{operation.name}: there is no operation {reversal.by} that takes it back.")


def connector_names() -> list[str]:
    """Names of all registered protocols."""
    return sorted(_connectors)


def options_of(connector: str) -> tuple[Option, ...]:
    """The settings a protocol asks for; none for one that is not registered."""
    found = _connectors.get(connector)
    return found.options if found else ()


def build(connection: Connection) -> Any:
    """The connector of a connection, fresh, with an empty list of calls; raises KeyError for an unknown protocol."""
    return _connectors[connection.connector].build(connection)


def connector_of(connection: Connection) -> Connector:
    """The connector of a connection as one that acts; raises KeyError for an unknown protocol."""
    connector: Connector = build(connection)
    return connector


def operation_of(connection: Connection, name: str) -> Operation | None:
    """One operation as it is over this connection; None where there is none of that name."""
    if connection.connector not in _connectors:
        return None
    return next((each for each in connector_of(connection).operations if each.name == name), None)


def operations_over(connection: Connection) -> Sequence[Operation]:
    """Everything a connection can do; nothing for a protocol that only sends to us."""
    return connector_of(connection).operations if connection.connector in _connectors else ()


def declared(name: str) -> list[Operation]:
    """All operations of that name, whatever connector declares them."""
    return [each for found in _connectors.values() for each in found.operations if each.name == name]


def stands_declared() -> list[tuple[str, str]]:
    """Connector and operation of all that can be taken back over some connection."""
    return [(name, each.undoes) for name, found in _connectors.items() for each in found.operations if each.takes_back]


def taking_back() -> list[Operation]:
    """Every operation that undoes another one."""
    return [each for found in _connectors.values() for each in found.operations if each.takes_back]


def declared_by(name: str) -> list[str]:
    """Connectors that can do something of that name."""
    return [
        connector for connector, found in _connectors.items() if any(name == each.name for each in found.operations)
    ]


def operation_names() -> list[str]:
    """Names of everything that a step can do somewhere."""
    return sorted({each.name for found in _connectors.values() for each in found.operations if not each.takes_back})
