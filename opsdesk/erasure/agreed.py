"""Erasures on which two people agreed: carried out at once where the process may, else by whoever owns the tables."""

from collections.abc import Iterator

from django.db import transaction

from auditlog.services import Actor
from opsdesk.erasure import erasing, looking
from opsdesk.models import PersonErasure


def person_of(erasure: PersonErasure) -> erasing.Person:
    """Whom an erasure that is not done yet names."""
    return erasing.Person(erasure.organization, erasure.name, customer=erasure.kind == PersonErasure.Kind.CUSTOMER)


@transaction.atomic
def carry_out(erasure_id: int, *, actor: Actor, reason: str) -> PersonErasure:
    """Erase the person; what it came to stays, their name does not. The caller owns the tables. Raises NotErasable."""
    erasure = PersonErasure.objects.select_for_update(of=("self",)).select_related("organization").get(pk=erasure_id)
    if erasure.done_at is not None:
        return erasure
    person = person_of(erasure)
    found = looking.preview(person)
    cases = erasing.erase(person, actor=actor, reason=reason)
    PersonErasure.objects.filter(pk=erasure.pk).update(cases=cases, cleared=found.cleared)
    erasure.refresh_from_db()
    return erasure


def carry_out_all(*, actor: Actor) -> Iterator[tuple[PersonErasure, str]]:
    """Every erasure that waits for the owner of the tables, with what was in the way of it; "" when it is done."""
    for waiting in PersonErasure.objects.filter(done_at=None).order_by("pk"):
        try:
            done = carry_out(waiting.pk, actor=actor, reason="Two people agreed on it at the desk.")
        except erasing.NotErasable as refused:
            yield waiting, str(refused)
        else:
            yield done, ""
