"""The one writer of the audit log."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction

from accounts.models import User
from auditlog import verbs
from auditlog.models import ActorKind, Entry
from opsdesk.lib.rows import insert_rows


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a person, a run's step, a timer, an outside system, or the desk itself."""

    kind: ActorKind
    name: str
    user: User | None = None

    @classmethod
    def person(cls, user: User) -> "Actor":
        return cls(ActorKind.PERSON, str(user)[:120], user)

    @classmethod
    def run(cls, name: str) -> "Actor":
        """A workflow's step; `name` says version and step: “refund v3, step decide”."""
        return cls(ActorKind.RUN, name[:120])

    @classmethod
    def timer(cls, name: str) -> "Actor":
        return cls(ActorKind.TIMER, name[:120])

    @classmethod
    def outside(cls, name: str) -> "Actor":
        return cls(ActorKind.OUTSIDE, name[:120])

    @classmethod
    def desk(cls, name: str = "desk") -> "Actor":
        return cls(ActorKind.SYSTEM, name[:120])


def entry(
    verb: str,
    *,
    actor: Actor,
    organization_id: int,
    subject: tuple[str, int],
    reason: str,
    case_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> Entry:
    """Build one unsaved entry; `subject` is (kind, primary key). Raises KeyError for an unregistered verb."""
    verbs.words(verb)
    bound = structlog.contextvars.get_contextvars()
    return Entry(
        organization_id=organization_id,
        actor_kind=actor.kind,
        actor=actor.name,
        user=actor.user,
        verb=verb,
        subject_kind=subject[0],
        subject_id=subject[1],
        case_id=case_id,
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
        request_id=str(bound.get("request_id") or bound.get("task_id") or uuid.uuid4())[:64],
    )


def record(verb: str, **details: Any) -> Entry:
    """Write one entry inside the transaction of the change it tells of; arguments as for `entry`."""
    row = entry(verb, **details)
    record_all([row])
    return row


def record_all(rows: Iterable[Entry]) -> None:
    """Write many entries in one statement, inside the transaction of their changes."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs to the transaction of the change it tells of.")
    insert_rows(list(rows))


def record_change(verb: str, *, user: User, **details: Any) -> Entry:
    """Write what a person changed in the desk's settings: the journal that the app of people tells to."""
    return record(verb, actor=Actor.person(user), **details)
