"""A process of the measured desk: `python -m benchmarks.entries write 1`, `fill COUNT` or `verify`; prints JSON."""

import json
import sys
import threading
import time

import django

django.setup()

from django.db import connection, connections, transaction  # noqa: E402

from accounts.models import Organization  # noqa: E402
from auditlog.models import Entry, Seal  # noqa: E402
from auditlog.seals.sealing import seal  # noqa: E402
from auditlog.seals.verifying import verify, waiting  # noqa: E402
from auditlog.services import Actor, entry, record_all  # noqa: E402

WRITERS, SECONDS = 8, 10.0
# What the desk writes of one refund in one transaction.
TOGETHER = 5


def _some(organization: Organization, number: int, count: int) -> list[Entry]:
    return [
        entry(
            "workflows.case.opened",
            actor=Actor.run("refund v3, step decide"),
            organization_id=organization.pk,
            subject=("case", number),
            case_id=number,
            reason="The amount is below the threshold and all sources agree.",
            before={"state": "open", "tier": None},
            after={"state": "decided", "tier": "instant", "amount": 2000 + number % 1000, "currency": "EUR"},
        )
        for _ in range(count)
    ]


def write(*, sealing: bool) -> dict[str, float]:
    """Let eight writers commit for some seconds while another thread seals; then see that nobody was left out."""
    organization, _ = Organization.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    end, counts = time.monotonic() + SECONDS, [0] * WRITERS

    def writer(place: int) -> None:
        while time.monotonic() < end:
            with transaction.atomic():
                record_all(_some(organization, counts[place], TOGETHER))
            counts[place] += TOGETHER
        connections.close_all()

    def sealer() -> None:
        while time.monotonic() < end:
            seal()
            time.sleep(0.2)
        connections.close_all()

    threads = [threading.Thread(target=writer, args=(place,)) for place in range(WRITERS)]
    threads += [threading.Thread(target=sealer)] if sealing else []
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - started
    _seal_everything()
    report = verify()
    if report.found or report.entries != Entry.objects.count():
        raise SystemExit(f"The chain is broken: {report}")
    return {"rate": sum(counts) / taken, "seals": report.seals}


def fill(count: int) -> dict[str, float]:
    """Bring the log to that many sealed entries, by copies that the database makes."""
    organization, _ = Organization.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    with transaction.atomic():
        record_all(_some(organization, 1, 1))
    names = [field.column for field in Entry._meta.concrete_fields if field.column not in ("id", "at", "salt")]
    listed = ", ".join(names)
    while (missing := count - Entry.objects.count()) > 0:
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO auditlog_entry ({listed}) SELECT {listed} FROM auditlog_entry LIMIT %s",  # noqa: S608 - columns of the model
                [min(missing, 50_000)],
            )
    return {"entries": Entry.objects.count(), "seconds": _seal_everything()}


def look() -> dict[str, float]:
    """Verify everything."""
    started = time.monotonic()
    report = verify()
    if report.found:
        raise SystemExit(report.found)
    return {"seconds": time.monotonic() - started, "entries": report.entries}


def _seal_everything() -> float:
    started = time.monotonic()
    while waiting():
        seal()
    assert Seal.objects.exists()
    return time.monotonic() - started


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", sealing]:
            found = write(sealing=sealing == "1")
        case ["fill", count]:
            found = fill(int(count))
        case _:
            found = look()
    print(json.dumps(found))
