"""Carrying an erasure out: one transaction, by whoever owns the tables, over every place that may name the person."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import pgtrigger
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, Proposal
from auditlog.models import Entry, LegalHold
from auditlog.services import Actor, record
from integrations.models import Customer
from opsdesk.erasure import marks
from opsdesk.erasure.places import GONE, MIRRORS, OF_THE_CASE, PLACES, Place
from opsdesk.lib.errors import DomainError
from opsdesk.lists import exporting
from opsdesk.models import Export, PersonErasure, SavedView
from workflows.models import Case
from workflows.states import CASE_FINAL

_TEXTS = ("actor", "reason", "before", "after")
# Entries that hang on no case, and may name a person all the same.
_OF_NOBODYS_CASE = ["legalhold", "export", "savedview", "proposal"]
_OF_PROPOSAL = ("title", "form", "reason", "before", "after")
# Shorter words stand in too many texts that are about nobody.
_SHORTEST = 4


class NotErasable(DomainError):
    """Something is still to be done for the person, or the law wants it kept."""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer by the number the systems outside use, or a requester as the requests name them."""

    organization: Organization
    name: str
    customer: bool = True

    @property
    def mark(self) -> str:
        """What stands for them afterwards, and in the list of erasures."""
        return marks.mark_of(self.organization.pk, self.name, customer=self.customer)

    @property
    def cases(self) -> Q:
        """Which cases are about them."""
        return Q(organization=self.organization, **{"party" if self.customer else "requested_by": self.name})


@transaction.atomic
def erase(person: Person, *, actor: Actor, reason: str) -> int:
    """Erase a person; returns how many cases there were. The caller owns the tables.

    Raises NotErasable while a case of theirs is open, or a legal hold keeps one.
    """
    cases = list(Case.objects.select_for_update().filter(person.cases).order_by("pk"))
    check(person, cases)
    keys = [case.pk for case in cases]
    words = words_of(person, cases)
    for place in PLACES:
        with pgtrigger.ignore(*place.guards) if place.guards else nullcontext():
            _clear(place, keys, words)
    _forget_texts(person.organization, keys, words)
    exporting.remove_all(person.organization.pk, actor=actor, reason="A person was erased whom the file may name.")
    _forget_searches(person.organization, words)
    _forget_settings(person.organization, words)
    _close_agreed(person)
    changes: dict[str, Any] = {**OF_THE_CASE, **({"party": person.mark} if person.customer else {})}
    Case.objects.filter(pk__in=keys).update(**changes)
    if person.customer:
        Customer.objects.filter(organization=person.organization, reference=person.name).update(name="", country="")
        for label, column in MIRRORS.items():
            rows = apps.get_model(label)._base_manager.filter(
                **{"organization": person.organization, column: person.name}
            )
            rows.update(**{column: person.mark})
    record(
        "opsdesk.person.erased",
        actor=actor,
        organization_id=person.organization.pk,
        subject=("organization", person.organization.pk),
        reason=_scrubbed(reason, words),
        after={"mark": person.mark, "cases": len(keys)},
    )
    marks.remember(person.organization.slug, person.mark, customer=person.customer)
    return len(keys)


def check(person: Person, cases: Sequence[Case]) -> None:
    """Raise NotErasable while something is to be done for the person, or a legal hold keeps a case of theirs."""
    still_open = [str(case) for case in cases if case.state not in CASE_FINAL]
    if still_open:
        raise NotErasable(f"Not yet: {', '.join(still_open[:5])} must be closed first.")
    held = Q(case_id__in=[case.pk for case in cases])
    if person.customer:
        held |= Q(party=person.name)
    if LegalHold.objects.filter(held, organization=person.organization, lifted=False).exists():
        raise NotErasable("A legal hold keeps what the desk has of this person.")


def words_of(person: Person, cases: Iterable[Case]) -> list[str]:
    """What names the person wherever it stands: their number, their names and each part of them, what they sent."""
    customer = Customer.objects.filter(organization=person.organization, reference=person.name).first()
    names = {person.name} | {case.party_name for case in cases} | ({customer.name} if customer is not None else set())
    parts = {part for name in names for part in re.split(r"[\s,]+", name) if len(part) >= _SHORTEST}
    codes = ("key", "target", "currency", "reason", "kind")
    kept = {getattr(case, name) for case in cases for name in codes} | {str(case.data.get("order")) for case in cases}
    sent = {text for case in cases for text in _leaves(case.data) if len(text) >= _SHORTEST} - kept
    return sorted({word for word in names | parts | sent if word}, key=len, reverse=True)


def _leaves(value: Any) -> Iterable[str]:
    match value:
        case dict():
            for each in value.values():
                yield from _leaves(each)
        case list():
            for each in value:
                yield from _leaves(each)
        case str():
            # Plain numbers are sums and counts.
            if not re.fullmatch(r"[0-9.,-]*", value):
                yield value


def _clear(place: Place, keys: Sequence[int], words: Sequence[str]) -> None:
    rows = apps.get_model(place.label)._base_manager.filter(**{f"{place.path}__in": keys})
    if place.cleared:
        rows.update(**place.cleared)
    for row in rows if place.scrubbed else ():
        changes = {name: _scrubbed(getattr(row, name), words) for name in place.scrubbed}
        changed = {name: value for name, value in changes.items() if value != getattr(row, name)}
        if changed:
            rows.filter(pk=row.pk).update(**changed)


def _scrubbed(value: Any, words: Sequence[str]) -> Any:
    """The same text or JSON with the person's words replaced; what is named stays named."""
    match value:
        case str():
            return _pattern(words).sub(GONE, value) if words else value
        case dict():
            return {name: _scrubbed(each, words) for name, each in value.items()}
        case list():
            return [_scrubbed(each, words) for each in value]
    return value


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """The words wherever they stand; short ones, such as a number of two digits, only where they stand alone."""
    found = [re.escape(word) if len(word) >= _SHORTEST else rf"(?<!\w){re.escape(word)}(?!\w)" for word in words]
    return re.compile("|".join(found), re.IGNORECASE)


def naming_entries(
    organization: Organization, keys: Sequence[int], words: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """Entries that name the person, by key, with which of their texts do."""
    pattern = _pattern(words)
    of_nobodys_case = Q(organization=organization, subject_kind__in=_OF_NOBODYS_CASE)
    about = Q(case_id__in=keys) | of_nobodys_case
    for entry in Entry.objects.filter(about).order_by("pk") if words else ():
        named = [name for name in _TEXTS if pattern.search(_text(getattr(entry, name)))]
        if named:
            yield entry.pk, named


def _forget_texts(organization: Organization, keys: Sequence[int], words: Sequence[str]) -> None:
    """Have the database erase the texts of entries that name the person; their seals verify all the same."""
    for key, named in list(naming_entries(organization, keys, words)):
        with connection.cursor() as cursor:
            cursor.execute("SELECT auditlog_erase(%s, %s)", [key, named])


def _forget_searches(organization: Organization, words: Sequence[str]) -> None:
    """Empty the filters of saved views and of exports that search for the person."""
    if not words:
        return
    pattern = _pattern(words)
    for rows in (SavedView.objects.filter(organization=organization), Export.objects.filter(organization=organization)):
        named = [row.pk for row in rows.exclude(query="") if pattern.search(unquote_plus(row.query))]
        rows.filter(pk__in=named).update(query="")


def _forget_settings(organization: Organization, words: Sequence[str]) -> None:
    """Clear what people wrote when they changed settings, as legal holds: proposals, and the pages' own history."""
    for proposal in Proposal.objects.filter(organization=organization):
        named = {name: _scrubbed(getattr(proposal, name), words) for name in _OF_PROPOSAL}
        if named["form"] != proposal.form:
            # It is no longer what was proposed, so nobody puts it in force.
            named["stamp"] = ""
        if any(value != getattr(proposal, name) for name, value in named.items()):
            Proposal.objects.filter(pk=proposal.pk).update(**named)
    people = Membership.objects.filter(organization=organization).values("user")
    for line in LogEntry.objects.filter(user__in=people):
        kept = {name: _scrubbed(getattr(line, name), words) for name in ("object_repr", "change_message")}
        if any(value != getattr(line, name) for name, value in kept.items()):
            LogEntry.objects.filter(pk=line.pk).update(**kept)


def _close_agreed(person: Person) -> None:
    """Whoever agreed on it, once or twice, or before a restore: it is done."""
    kind = PersonErasure.Kind.CUSTOMER if person.customer else PersonErasure.Kind.REQUESTER
    rows = PersonErasure.objects.filter(organization=person.organization, kind=kind, name=person.name, done_at=None)
    rows.update(name="", done_at=Now())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def again(organizations: Iterable[Organization], *, actor: Actor) -> tuple[list[str], list[str]]:
    """Erase once more whoever the list names and the database still has: after a restore.

    Returns the marks of those who were erased, and of those who must wait: the restored state has their case open.
    """
    done, waiting = list[str](), list[str]()
    for organization in organizations:
        listed = marks.listed(organization.slug)
        for person in _people(organization) if listed else ():
            if person.mark not in listed:
                continue
            try:
                erase(person, actor=actor, reason="Erased before; the database was put back to an earlier state.")
            except NotErasable:
                waiting.append(person.mark)
            else:
                done.append(person.mark)
    return done, waiting


def _people(organization: Organization) -> Iterator[Person]:
    """Everybody the database knows and who was not erased."""
    cases = Case.objects.filter(organization=organization)
    customers = set(cases.values_list("party", flat=True).distinct())
    customers |= set(Customer.objects.filter(organization=organization).values_list("reference", flat=True))
    requesters = set(cases.values_list("requested_by", flat=True).distinct())
    for names, customer in ((customers, True), (requesters, False)):
        for name in sorted(name for name in names if name and not name.startswith(marks.PREFIX)):
            yield Person(organization, name, customer=customer)
