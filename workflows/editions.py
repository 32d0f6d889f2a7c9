"""Editions of a definition: drafts that can be edited, and published ones that are frozen and decide.

The same moves serve workflow versions, rule sets, and the threshold policies of the floor above. Of each kind
at most one edition of a workflow is published. All changes happen under the workflow's row lock.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.db import models, transaction
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from workflows.errors import ChangedMeanwhile, NeedsSecondPerson, NotADraft, NotInForce, Unpublishable
from workflows.models import Workflow
from workflows.states import VersionState


class Edition(Protocol):
    """What versions, rule sets and policies have in common."""

    pk: Any
    workflow: Any
    workflow_id: Any
    number: Any
    state: str

    def move_to(self, new: str, **changes: Any) -> None: ...
    def delete(self) -> Any: ...
    def refresh_from_db(self) -> None: ...


E = TypeVar("E", bound=Edition)


def _anybody(edition: Any, by: User | None) -> str:
    return ""


@dataclass(frozen=True)
class Editions(Generic[E]):
    """All editions of one kind: which model holds them, what the audit log calls them, what keeps one from running."""

    model: type[E]
    noun: str  # prefix of its verbs, such as workflows.version
    check: Callable[[E], list[str]]
    # Why this person may not put the edition in force, in a sentence; "" when they may.
    why_not: Callable[[E, User | None], str] = _anybody

    def publish(self, edition: E, *, by: User | None, reason: str, is_as_seen: Callable[[E], bool] | None = None) -> E:
        """Put a draft in force from now on and retire the edition before it.

        `is_as_seen` is asked under the lock whether the draft still says what the person looked at.
        Raises Unpublishable with everything that is wrong, NotADraft, ChangedMeanwhile, NeedsSecondPerson.
        """
        with self._locked(edition) as fresh:
            if fresh.state != VersionState.DRAFT:
                raise NotADraft(f"{fresh} is {fresh.state} already.")
            if is_as_seen is not None and not is_as_seen(fresh):
                raise ChangedMeanwhile(f"{fresh} is not what you looked at: read what changes now, then publish.")
            refusal = self.why_not(fresh, by)
            if refusal:
                raise NeedsSecondPerson(refusal)
            problems = self.check(fresh)
            if problems:
                raise Unpublishable(" ".join(problems))
            former = self._rows().filter(workflow_id=fresh.workflow_id, state=VersionState.PUBLISHED).first()
            if former is not None:
                former.move_to(VersionState.RETIRED)
                self.tell("retired", former, by=by, reason=f"{fresh} takes its place: {reason}")
            fresh.move_to(VersionState.PUBLISHED, published_at=Now(), published_by=by)
            before = {"published": str(former)} if former is not None else {}
            self.tell("published", fresh, by=by, reason=reason, before=before, after={"published": str(fresh)})
        fresh.refresh_from_db()
        return fresh

    def discard(self, edition: E, *, by: User | None, reason: str) -> None:
        """Throw a draft away: nothing ever ran on it. Raises NotADraft."""
        with self._locked(edition) as fresh:
            if fresh.state != VersionState.DRAFT:
                raise NotADraft(f"{fresh} is {fresh.state}: what was in force once is kept.")
            self.tell("discarded", fresh, by=by, reason=reason, before={"draft": str(fresh)})
            fresh.delete()

    def retire(self, edition: E, *, by: User | None, reason: str) -> E:
        """Take the published edition out of force with nothing in its place; it stays as it was. Raises NotInForce."""
        with self._locked(edition) as fresh:
            if fresh.state != VersionState.PUBLISHED:
                raise NotInForce(f"{fresh} is {fresh.state}: only what is in force can be retired.")
            fresh.move_to(VersionState.RETIRED)
            self.tell("retired", fresh, by=by, reason=reason, before={"published": str(fresh)})
        return fresh

    @contextmanager
    def drafting(
        self, workflow: Workflow, *, by: User | None, reason: str, verb: str = "drafted", source: str = ""
    ) -> Iterator[int]:
        """Number a new draft under the workflow's lock; the block creates it, then it is recorded."""
        with transaction.atomic():
            Workflow.objects.select_for_update(of=("self",)).get(pk=workflow.pk)
            siblings = self._rows().filter(workflow_id=workflow.pk)
            number = int(siblings.aggregate(last=Max("number"))["last"] or 0) + 1
            yield number
            after = {"copied_from": source} if source else {}
            self.tell(verb, siblings.get(number=number), by=by, reason=reason, after=after)

    def tell(
        self,
        verb: str,
        edition: E,
        *,
        by: User | None,
        reason: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what happened to an edition; nobody named means the desk itself, as when it is first filled."""
        record(
            f"{self.noun}.{verb}",
            actor=Actor.person(by) if by is not None else Actor.desk(),
            organization_id=edition.workflow.organization_id,
            subject=(self.noun.rpartition(".")[2], edition.pk),
            reason=reason,
            before=before,
            after=after,
        )

    def _rows(self) -> "models.QuerySet[Any]":
        rows: models.QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        return rows.select_related("workflow")

    @contextmanager
    def _locked(self, edition: E) -> Iterator[E]:
        """The edition as it is now, with its workflow and itself locked until the block ends."""
        with transaction.atomic():
            Workflow.objects.select_for_update(of=("self",)).get(pk=edition.workflow_id)
            yield self._rows().select_for_update(of=("self",)).get(pk=edition.pk)
