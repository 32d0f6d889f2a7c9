"""What a decision rests on, as the case page says it: facts with source and age, and the demands of rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from opsdesk.lib import clock
from workflows import facts as catalogue
from workflows.models import Decision
from workflows.states import Tier

# The money line shows these when they are known.
_IN_MONEY_LINE = frozenset({"amount", "currency", "payment.captured", "payment.refunded", "payment.left"})
_OLD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FactShown:
    """One row of the facts. `gap`: it is not known, the value says why; `flag`: sources differ, in sentences."""

    label: str
    value: str
    source: str = ""
    at: datetime | None = None
    gap: bool = False
    flag: str = ""

    @property
    def old(self) -> bool:
        """Whether the source was read so long ago that it may have changed."""
        return self.at is not None and clock.now() - self.at > _OLD


@dataclass(frozen=True, slots=True)
class Reason:
    """One demand that was made: a rule that hit, a threshold, or one that could not be told."""

    text: str
    tier: str
    decides: bool


@dataclass(frozen=True, slots=True)
class Grounds:
    """Facts and demands of one case."""

    facts: Sequence[FactShown]
    sources: int
    read_at: datetime | None
    reasons: Sequence[Reason]
    misses: Sequence[str]


def grounds_of(
    facts: Mapping[str, Any], decision: Decision | None, *, currency: str, differences: Sequence[str]
) -> Grounds:
    """Everything that is known and was demanded, in the order in which it matters."""
    trace = decision.trace if decision is not None else []
    held = {name: fact for name, fact in facts.items() if isinstance(fact, Mapping)}
    moments = [moment for fact in held.values() if (moment := _moment(fact)) is not None]
    shown = [*_known(held, _named_first(trace), currency, differences), *_gaps(held)]
    return Grounds(
        facts=shown,
        sources=len({fact.get("source") for fact in held.values()}),
        read_at=max(moments, default=None),
        reasons=_reasons(trace, decision.tier if decision is not None else ""),
        misses=[str(demand.get("words", "")) for demand in trace if demand.get("result") == "miss"],
    )


def _moment(fact: Mapping[str, Any]) -> datetime | None:
    return parse_datetime(str(fact.get("at") or ""))


def _named_first(trace: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of facts: those that made somebody demand something, then the others of the catalogue."""
    named = [name for demand in trace if demand.get("result") != "miss" for name in demand.get("facts", [])]
    return list(dict.fromkeys([*named, *catalogue.catalogue()]))


def _known(
    held: Mapping[str, Mapping[str, Any]], order: Sequence[str], currency: str, differences: Sequence[str]
) -> Iterator[FactShown]:
    known = catalogue.catalogue()
    for name in order:
        value = catalogue.value_of(held, name)
        if value is None or name in _IN_MONEY_LINE:
            continue
        yield FactShown(
            label=known[name].label,
            value=catalogue.in_words(name, value, currency),
            source=str(held[name].get("source", "")),
            at=_moment(held[name]),
            flag=" ".join(differences) if name == "sources.agree" and value is False else "",
        )


def _gaps(held: Mapping[str, Mapping[str, Any]]) -> Iterator[FactShown]:
    """What is not known, together where the reason is the same: not known is not “no”."""
    known = catalogue.catalogue()
    missing: dict[tuple[str, str], list[str]] = {}
    for name, fact in held.items():
        if name in known and catalogue.value_of(held, name) is None:
            why = str(fact.get("why") or "It came in a form that cannot be used.")
            missing.setdefault((why, str(fact.get("source", ""))), []).append(known[name].label)
    for (why, source), labels in missing.items():
        yield FactShown(label="Not known", value=", ".join(labels), source=source, gap=True, flag=why)


def _reasons(trace: Sequence[Mapping[str, Any]], decided: str) -> list[Reason]:
    """The demands that were made, the strictest first."""
    made = [demand for demand in trace if demand.get("result") != "miss"]
    ranked = sorted(made, key=lambda demand: -Tier(demand["tier"]).rank if demand.get("tier") else 1)
    return [
        Reason(str(demand.get("words", "")), str(demand.get("tier") or ""), demand.get("tier") == decided)
        for demand in ranked
    ]
