"""Entries put together as they happened: everything one click did, or one step of the desk for one case."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from auditlog.models import ActorKind, Entry


@dataclass(frozen=True, slots=True)
class Click:
    """The entries of one cause, in their order; `main` says it in one sentence."""

    entries: Sequence[Entry]

    @property
    def main(self) -> Entry:
        """What a person did, or else what the desk did last."""
        people = [entry for entry in self.entries if entry.actor_kind == ActorKind.PERSON]
        return people[0] if people else self.entries[-1]

    @property
    def by_desk(self) -> bool:
        """Whether no person stands behind it."""
        return self.main.actor_kind != ActorKind.PERSON

    @property
    def more(self) -> bool:
        """Whether there is more to it than its sentence."""
        return len(self.entries) > 1


def together(newest_first: Sequence[Entry]) -> list[Click]:
    """Group a page of entries, newest first: a person's request as a whole, the desk's work by transaction and case.

    Entries of one transaction have the same moment, which is the database's own.
    """
    of_people = {entry.request_id for entry in newest_first if entry.actor_kind == ActorKind.PERSON}
    grouped: dict[Hashable, list[Entry]] = {}
    for entry in newest_first:
        cause: Hashable = entry.request_id if entry.request_id in of_people else (entry.at, entry.case_id)
        grouped.setdefault(cause, []).append(entry)
    return [Click(tuple(reversed(entries))) for entries in grouped.values()]
