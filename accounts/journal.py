"""Where changes to the desk's own settings are told. The audit log stands above this app and takes the telling."""

from collections.abc import Mapping
from typing import Any, Protocol

from accounts.models import User


class Journal(Protocol):
    """Keeps one change inside the transaction that makes it; `subject` is (kind, primary key)."""

    def __call__(
        self,
        verb: str,
        *,
        user: User,
        organization_id: int,
        subject: tuple[str, int],
        reason: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> object: ...


_journals: list[Journal] = []


def keep(journal: Journal) -> None:
    """Have every change told to `journal`."""
    if journal not in _journals:
        _journals.append(journal)


def tell(verb: str, **details: Any) -> None:
    """Tell a change, arguments as for a journal. Raises RuntimeError when nobody listens: no change goes untold."""
    if not _journals:
        raise RuntimeError("Nobody keeps a journal of changes.")
    for journal in _journals:
        journal(verb, **details)
