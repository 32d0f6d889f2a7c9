"""What a step sees of its run, and where it puts what shall be written."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from django.db import models

from auditlog.models import Entry
from auditlog.services import Actor, entry, record_all
from opsdesk.lib.rows import insert_rows
from workflows.engine.definitions import Definition, StepDefinition
from workflows.models import Authorization, Case, Decision, Run
from workflows.states import CaseState

Row = TypeVar("Row", bound=models.Model)
Found = TypeVar("Found")


class Batch:
    """New rows of several runs, written together: one statement a table instead of one a row."""

    def __init__(self) -> None:
        self._rows: dict[type[models.Model], list[models.Model]] = defaultdict(list)
        self._entries: list[tuple[str, models.Model, dict[str, Any]]] = []
        self._remembered: dict[tuple[Any, ...], Any] = {}
        self.rings: set[str] = set()

    def remember(self, key: tuple[Any, ...], look_up: Callable[[], Found]) -> Found:
        """What `look_up` gives, asked once for all runs of the transaction: published rules, connections."""
        if key not in self._remembered:
            self._remembered[key] = look_up()
        found: Found = self._remembered[key]
        return found

    def add(self, row: Row) -> Row:
        """Have `row` inserted with the others; its key is set once `flush` has run."""
        self._rows[type(row)].append(row)
        return row

    def pending(self, model: type[Row]) -> list[Row]:
        """The rows of a model that wait to be inserted: other statements do not see them yet."""
        return [row for row in self._rows[model] if isinstance(row, model)]

    def record(self, verb: str, *, subject: models.Model, **details: Any) -> None:
        """Have an audit entry written; `subject` and `case_of` may be rows of this batch. Details as for `entry`."""
        self._entries.append((verb, subject, details))

    def flush(self) -> None:
        """Insert everything, each table after those it points at."""
        for model in _pointed_at_first(self._rows):
            insert_rows(self._rows[model])
        entries: list[Entry] = [
            entry(
                verb,
                subject=(subject._meta.model_name or "", subject.pk),
                case_id=details.pop("case_of").pk,
                **details,
            )
            for verb, subject, details in self._entries
        ]
        if entries:
            record_all(entries)
        self._rows.clear()
        self._entries.clear()


def _pointed_at_first(models_: Iterable[type[models.Model]]) -> Iterator[type[models.Model]]:
    """The models in an order in which every row finds the rows it points at."""
    waiting = list(models_)
    while waiting:
        others = set(waiting)
        free = [model for model in waiting if not (_targets(model) - {model}) & others]
        yield from free or waiting
        waiting = [model for model in waiting if free and model not in free]


@cache
def _targets(model: type[models.Model]) -> frozenset[Any]:
    return frozenset(field.related_model for field in model._meta.concrete_fields if field.is_relation)


@dataclass(slots=True)
class RunContext:
    """One run at one of its steps."""

    run: Run
    case: Case
    definition: Definition
    step: StepDefinition
    batch: Batch
    now: datetime
    fetched: Any = None
    decision: Decision | None = None
    grant: Authorization | None = None
    case_changed: bool = False

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts gathered so far."""
        facts: Mapping[str, Any] = self.run.facts
        return facts

    @property
    def actor(self) -> Actor:
        """The run's step as the audit log names it."""
        return Actor.run(f"{self.definition.name}, step {self.step.key}")

    def record(self, verb: str, *, subject: models.Model, reason: str, **states: Any) -> None:
        """Write an audit entry in the name of this step; `states` may be before= and after=."""
        self.batch.record(
            verb,
            subject=subject,
            reason=reason,
            actor=self.actor,
            organization_id=self.run.organization_id,
            case_of=self.case,
            **states,
        )

    def set_standing(self, words: str) -> None:
        """Say on the case where it stands."""
        self.case.standing = words[:200]
        self.case_changed = True

    def close_case(self, state: CaseState, words: str) -> None:
        """End the case in one of its final states."""
        self.case.check_move(state)
        self.case.take_over(state, standing=words[:200], closed_at=self.now)
        self.case_changed = True

    def fail_case(self, words: str) -> None:
        """Mark the case as needing repair."""
        self.case.check_move(CaseState.FAILED)
        self.case.take_over(CaseState.FAILED, standing=words[:200])
        self.case_changed = True
