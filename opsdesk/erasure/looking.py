"""What erasing a person would clear, what stays and why: said before it is done, and kept as what it came to."""

from dataclasses import dataclass

from django.apps import apps
from django.db import connection

from opsdesk.erasure import erasing
from opsdesk.erasure.places import MIRRORS, PLACES
from workflows.models import Case

STAYS = (
    ("Amounts, currencies, payments and refunds", "Money that moved is accounted for, and names nobody."),
    ("States, tiers, votes and authorizations with their times", "It can be proved who of the desk decided what."),
    ("Entries of the audit log, without the texts that name the person", "Seals verify over the hashes that are kept."),
    ("A mark in the place of the number or name", "With it a database that is put back is cleared again."),
    ("Backups, until they expire", "They are not changed; a restore erases again whoever was erased."),
    ("What systems outside hold", "It is theirs: ask them too."),
)


@dataclass(frozen=True, slots=True)
class Preview:
    """How many cases and rows are about a person, by the words of their tables; and what is in the way, if anything."""

    cases: int
    cleared: dict[str, int]
    refusal: str


def preview(person: erasing.Person) -> Preview:
    """Look without changing anything."""
    cases = list(Case.objects.filter(person.cases).order_by("pk"))
    keys = [case.pk for case in cases]
    words = erasing.words_of(person, cases)
    found = {"cases": len(cases)}
    for place in PLACES:
        model = apps.get_model(place.label)
        rows = model._base_manager.filter(**{f"{place.path}__in": keys}).count() if keys else 0
        found[str(model._meta.verbose_name_plural)] = rows
    if person.customer:
        for label, column in MIRRORS.items():
            model = apps.get_model(label)
            rows = model._base_manager.filter(organization=person.organization, **{column: person.name}).count()
            found[f"{model._meta.verbose_name_plural} of the customer"] = rows
    found["entries of the audit log with texts that name them"] = sum(
        1 for _ in erasing.naming_entries(person.organization, keys, words)
    )
    return Preview(len(cases), {name: count for name, count in found.items() if count}, _refusal(person, cases, found))


def _refusal(person: erasing.Person, cases: list[Case], found: dict[str, int]) -> str:
    if not any(found.values()):
        return "Nothing here is about them: look whether the number or name is written just so."
    try:
        erasing.check(person, cases)
    except erasing.NotErasable as refused:
        return str(refused)
    return ""


def may_erase() -> bool:
    """Whether this process may have texts of the audit log erased: only whoever owns the tables may."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('auditlog_erase(bigint, text[])', 'EXECUTE')")
        return bool(cursor.fetchone()[0])
