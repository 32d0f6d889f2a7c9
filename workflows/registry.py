"""What the rooms above teach the engine: step kinds, readers, news, records to watch, demands, checks. Nothing else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import Q, QuerySet

from workflows.states import Tier

if TYPE_CHECKING:
    from workflows.engine.context import RunContext
    from workflows.engine.outcomes import Outcome
    from workflows.models import Authorization, Case, Event, Recovery, WorkflowVersion


@dataclass(frozen=True, slots=True)
class Begins:
    """What an event of the desk's own asks for: a run of this workflow, begun by this trigger."""

    workflow: str  # slug
    trigger: str  # key
    by: str  # who or what began it, in words
    requester_id: int | None = None
    parent_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event says, once its body has been understood. Only the desk's own reader says `begins`."""

    type: str
    data: Mapping[str, Any]
    occurred_at: datetime | None = None
    begins: Begins | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """One voice in a decision: a rule or a threshold, what it found, and the tier it asks for (None: nothing)."""

    source: str
    result: str  # hit, miss or undetermined
    words: str
    tier: Tier | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demands:
    """What one source of demands says about a case, and which edition of it was asked."""

    edition: str
    demands: tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Awaited:
    """For whom or what a run waits, in words; what follows by itself once it came; when it comes, if that is known."""

    whom: str
    then: str
    at: datetime | None = None


class StepKind(Protocol):
    """How one kind of step is checked and performed. `fetch` runs outside any transaction, `perform` inside one."""

    name: str
    asks_outside: bool
    moves_money: bool  # whether it may: a kind with `moves_money_with` says it of one step by its settings
    starts_over: bool

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Sentences about what is wrong with the step's settings; none means it can be published."""
        ...

    def fetch(self, contexts: "Sequence[RunContext]") -> None:
        """Ask the outside world for several runs and set each context's `fetched`: an answer or a StepFailed.

        Only called where `asks_outside` is set.
        """
        ...

    def perform(self, context: "RunContext") -> "Outcome":
        """Do the step's work in the transaction of the run. Raises StepFailed, before it writes anything."""
        ...


@dataclass(frozen=True, slots=True)
class WatchedField:
    """A value of a record that may cross a limit. Money is in minor units beside a column `currency`."""

    column: str
    type: str  # money, count, flag or text
    label: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A state in which an item may stand too long, and the column that says since when."""

    label: str
    condition: Q
    since: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of record that triggers can watch: its rows of one organization, and what is told about one."""

    name: str
    label: str
    rows: "Callable[[int], QuerySet[Any]]"
    tell: Callable[[Any], Mapping[str, Any]]
    tells: tuple[str, ...]  # the names that `tell` gives
    fields: Mapping[str, WatchedField] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)


Reader = Callable[[bytes], Reading]
# What these runs wait for, by their ids.
Tells = Callable[[Collection[int]], Mapping[int, Awaited]]
# Told about an event in the transaction that takes it in; answers what it did, in words.
News = Callable[["Event", Reading], str]
DemandSource = Callable[["RunContext"], Demands]

step_kinds: dict[str, StepKind] = {}
readers: dict[str, Reader] = {}
watched: dict[str, Watched] = {}
news: dict[str, News] = {}
demand_sources: list[DemandSource] = []
grant_checks: list[Callable[["Authorization"], str]] = []
definition_checks: list[Callable[["WorkflowVersion"], list[str]]] = []
awaited: dict[str, Tells] = {}
tier_checks: list[Callable[[int, Collection[Tier]], list[str]]] = []
withdrawals: list[Callable[["Case", str], None]] = []
standing_effects: list[Callable[[Collection[int]], set[int]]] = []
recovery_endings: list[Callable[["Recovery"], None]] = []
# By kind of case: told in the transaction that ends one, with its id, the state it ends in, and why.
case_endings: dict[str, Callable[[int, str, str], None]] = {}


def moves_money(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a step of this kind, with these settings, moves money; what is in doubt does. False for no such kind."""
    found = step_kinds.get(kind)
    if found is None or not found.moves_money:
        return False
    by_settings: Callable[[Mapping[str, Any]], bool] | None = getattr(found, "moves_money_with", None)
    return by_settings is None or by_settings(config)


def _once(register: dict[str, Any], name: str, entry: Any) -> None:
    if name in register and register[name] is not entry:
        raise ValueError(f"{name} is registered twice.")
    register[name] = entry


def add_step_kind(kind: StepKind) -> None:
    """Teach the engine a kind of step."""
    _once(step_kinds, kind.name, kind)


def add_reader(name: str, reader: Reader) -> None:
    """Teach the engine to understand bodies of one sort; the reader raises Unreadable for the others."""
    _once(readers, name, reader)


def add_watched(record: Watched) -> None:
    """Let triggers watch records of a kind."""
    _once(watched, record.name, record)


def add_news(event_type: str, listener: News) -> None:
    """Have `listener` told about events of a type that open no case."""
    _once(news, event_type, listener)


def add_demand_source(source: DemandSource) -> None:
    """Have `source` asked for demands in every decision."""
    if source not in demand_sources:
        demand_sources.append(source)


def add_withdrawal(listener: Callable[["Case", str], None]) -> None:
    """Have `listener` called, in the same transaction, when a case is withdrawn or its content changes."""
    if listener not in withdrawals:
        withdrawals.append(listener)


def add_grant_check(check: Callable[["Authorization"], str]) -> None:
    """Have `check` asked, in the transaction that acts, why an authorization no longer holds; "" when it does."""
    if check not in grant_checks:
        grant_checks.append(check)


def add_standing_effect(check: Callable[[Collection[int]], set[int]]) -> None:
    """Have `check` asked of which of these cases something that was done outside still stands, or may; by their ids."""
    if check not in standing_effects:
        standing_effects.append(check)


def stands(case_id: int) -> bool:
    """Whether something that was done outside for a case still stands, or may."""
    return any(check([case_id]) for check in standing_effects)


def standing_among(case_ids: Collection[int]) -> set[int]:
    """The same for many cases at once: the ids of those with something that stands, or may."""
    found: set[int] = set()
    return found.union(*(check(case_ids) for check in standing_effects))


def add_definition_check(check: Callable[["WorkflowVersion"], list[str]]) -> None:
    """Have `check` asked, before a version is published, what keeps it from running; in sentences."""
    if check not in definition_checks:
        definition_checks.append(check)


def add_awaited(waits_for: str, tells: Tells) -> None:
    """Have `tells` asked for whom runs wait that wait for this."""
    _once(awaited, waits_for, tells)


def add_tier_check(check: Callable[[int, Collection[Tier]], list[str]]) -> None:
    """Have `check` asked, before anything leads to these tiers of an organization, what keeps them from asking people.

    It is given the organization's id and answers in sentences.
    """
    if check not in tier_checks:
        tier_checks.append(check)


def add_case_ending(case_kind: str, listener: Callable[[int, str, str], None]) -> None:
    """Have `listener` called in the transaction that ends a case of this kind: its id, its final state, the reason."""
    _once(case_endings, case_kind, listener)


def tell_ending(case: "Case", state: str, reason: str) -> None:
    """Tell whoever wants to know about cases of its kind that this one ends."""
    listener = case_endings.get(case.kind)
    if listener is not None:
        listener(case.pk, state, reason)


def add_recovery_ending(listener: Callable[["Recovery"], None]) -> None:
    """Have `listener` called in the transaction that ends a recovery, before anything acts again."""
    if listener not in recovery_endings:
        recovery_endings.append(listener)
