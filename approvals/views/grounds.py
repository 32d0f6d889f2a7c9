"""What a decision rests on, as the case page says it: facts with source and age, and the demands of rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from opsdesk.lib import clock
from opsdesk.lib.wording import visible
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
    """One demand that was made: a rule that hit, a threshold, or the rules that could not be told."""

    text: str
    tier: str
    decides: bool
    more: str = ""


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
        reasons=_reasons(trace, decision.tier if decision is not None else "", held),
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
            value=visible(catalogue.in_words(name, value, currency)),
            source=str(held[name].get("source", "")),
            at=_moment(held[name]),
            flag=visible(" ".join(differences)) if name == "sources.agree" and value is False else "",
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
        yield FactShown(label="Not known", value=", ".join(labels), source=source, gap=True, flag=visible(why))


def _reasons(trace: Sequence[Mapping[str, Any]], decided: str, held: Mapping[str, Mapping[str, Any]]) -> list[Reason]:
    """The demands that were made, the strictest first; several rules that want of facts decided are one."""
    made = [demand for demand in trace if demand.get("result") != "miss"]
    untold = [demand for demand in made if demand.get("result") == "undetermined" and _is_rule(demand)]
    if len(untold) > 1:
        made = [demand for demand in made if demand not in untold]
    found = [
        Reason(str(demand.get("words", "")), str(demand.get("tier") or ""), demand.get("tier") == decided)
        for demand in made
    ]
    if len(untold) > 1:
        found.append(_untold(untold, decided, held))
    return sorted(found, key=lambda reason: -Tier(reason.tier).rank if reason.tier else 1)


def _is_rule(demand: Mapping[str, Any]) -> bool:
    return str(demand.get("source", "")).startswith("rule ")


def _untold(demands: Sequence[Mapping[str, Any]], decided: str, held: Mapping[str, Mapping[str, Any]]) -> Reason:
    """Several rules that cannot be told, with the facts that are missing for them."""
    known = catalogue.catalogue()
    named = dict.fromkeys(name for demand in demands for name in demand.get("facts", []))
    missing = [known[name].label.lower() for name in named if name in known and catalogue.value_of(held, name) is None]
    tier = Tier.strictest([Tier(demand["tier"]) for demand in demands if demand.get("tier")])
    names = "; ".join(str(demand.get("words", "")).split(": cannot")[0] for demand in demands)
    return Reason(
        f"{len(demands)} rules cannot be told without {', '.join(missing) or 'facts'}.", tier, tier == decided, names
    )
