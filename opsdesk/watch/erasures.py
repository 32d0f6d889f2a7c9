"""Whether who is to be erased is erased, and stays so."""

from collections.abc import Iterator
from datetime import timedelta

from opsdesk.erasure import marks
from opsdesk.lib.wording import span
from opsdesk.models import PersonErasure
from opsdesk.watch.findings import Finding, Moment

# Where the desk may not do it itself, whoever owns the tables does it once a day.
CARRIED_OUT_WITHIN = timedelta(days=2)


def erased_are_back(moment: Moment) -> Iterator[Finding]:
    """People who were erased before a restore, and wait for their case to end."""
    count = len(marks.waiting())
    if count:
        yield Finding(
            "erased",
            f"{count} people who were erased came back with a restore and have an open case or a legal hold. Once that "
            "ends, run `manage.py erase again`.",
        )


def erasures_wait(moment: Moment) -> Iterator[Finding]:
    """Erasures on which two people agreed, and nobody carries out; one alert for each organization."""
    late = PersonErasure.objects.filter(done_at=None, agreed_at__lt=moment.now - CARRIED_OUT_WITHIN)
    oldest = late.select_related("organization").order_by("organization_id", "agreed_at").distinct("organization_id")
    for erasure in oldest:
        if erasure.agreed_at is not None:  # for the type checker: the filter has looked
            yield Finding(
                "agreed",
                f"Two people agreed {span(moment.now - erasure.agreed_at)} ago to erase somebody, and it is not done. "
                "Whoever owns the tables runs `manage.py erase agreed`, once a day; it says what is in the way.",
                erasure.organization,
            )
