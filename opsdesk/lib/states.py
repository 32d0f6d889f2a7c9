"""State machines: a table of moves, one writer, and a compare-and-set that lets the database decide races."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pgtrigger
from django.db import models

from opsdesk.lib.errors import IllegalMove


class Overtaken(IllegalMove):
    """Somebody else moved the row first."""


class Movable(models.Model):
    """A row with a `state` that only `move_to` writes. Subclasses set MOVES to their table."""

    MOVES: ClassVar[Mapping[str, frozenset[str]]]
    state: str

    class Meta:
        abstract = True

    def check_move(self, new: str) -> None:
        """Raise IllegalMove when the table has no such move."""
        if new not in self.MOVES[self.state]:
            raise IllegalMove(f"{self} is {self.state}: it cannot become {new}.")

    def move_to(self, new: str, **changes: Any) -> None:
        """Change state and `changes` by one guarded UPDATE; raises Overtaken when the row has moved meanwhile."""
        self.check_move(new)
        rows: Any = type(self)._default_manager
        rows = rows.filter(pk=self.pk, state=self.state)
        if rows.update(state=new, **changes) != 1:
            raise Overtaken(f"{self} was changed meanwhile: look at it again.")
        self.take_over(new, **changes)

    def take_over(self, new: str, **changes: Any) -> None:
        """Set the attributes as the database has them now, or will have after the engine's bulk write."""
        self.state = new
        for name, value in changes.items():
            setattr(self, name, value)


def known_states(name: str, states: type[models.TextChoices]) -> models.CheckConstraint:
    """A constraint that repeats the choices in the database, where Django's `choices` do not bind."""
    return models.CheckConstraint(name=name, condition=models.Q(state__in=states.values))


def only_listed_moves(
    moves: Mapping[str, frozenset[str]], *, written_at_once: Iterable[tuple[str, str]] = ()
) -> pgtrigger.Trigger:
    """A trigger that repeats the table of moves in the database, where an UPDATE goes around `move_to`.

    `written_at_once` are pairs that lie two moves apart and reach the database as one write.
    """
    listed = [(str(old), str(new)) for old, targets in moves.items() for new in targets]
    pairs = sorted([*listed, *((str(old), str(new)) for old, new in written_at_once)])
    return pgtrigger.FSM(
        name="only_listed_moves", field="state", transitions=pairs, condition=pgtrigger.AnyChange("state")
    )
