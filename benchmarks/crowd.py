"""Pages and urgent cases while 50,000 runs are due, run as a process of the desk: `prepare`, or `measure`.

The workers are at it all the while; each round fills the line up again first.
"""

import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.models import Organization  # noqa: E402
from benchmarks import five, load  # noqa: E402
from benchmarks.figures import percentile  # noqa: E402
from benchmarks.visitors import signed_in  # noqa: E402
from opsdesk.demo import cast  # noqa: E402
from opsdesk.lib import queue  # noqa: E402
from workflows.models import Case, Run, WorkflowVersion  # noqa: E402
from workflows.states import VersionState  # noqa: E402

DUE, BULK_PRIORITY = 50_000, 80
SECONDS, PAGES_PER_SECOND, CONNECTIONS, WARM_UPS = 20, 10, 8, 4
URGENT = {
    "name": "Urgent",
    "slug": "five-urgent",
    "case_kind": "five-urgent",
    "opened_by": "five.urgent",
    "priority": 5,
}
PAGES = ("/", "/queue/", "/runs/", "/stalled/", "/failures/", "/search/?q=line", "/cases/{case}/", "/runs/{run}/")
_FILL = """
    WITH made AS (
        INSERT INTO workflows_case (organization_id, kind, key, state, party, party_name, currency, amount_minor,
            target, reason, requested_by, data, problems, standing)
        SELECT %(organization)s, 'five', %(prefix)s || n, 'open', 'bench', '', 'GBP', 495, 'pi_bench', 'returned', '',
            '{}', '[]', '' FROM generate_series(1, %(count)s) n
        RETURNING id
    )
    INSERT INTO workflows_run (organization_id, workflow_id, version_id, case_id, state, position, facts, priority,
        wake_at, waits_for, reason, attempt, lease_owner, epoch, lost_leases, skipped, in_turn)
    SELECT %(organization)s, %(workflow)s, %(version)s, id, 'ready', 0, '{}', %(priority)s,
        now() - (id %% 7200) * interval '1 second', '', '', 0, '', 0, 0, '[]', false FROM made
"""


def prepare() -> None:
    """The bulk workflow, and one whose cases are urgent."""
    five.prepare()
    five.publish(URGENT)


def _fill() -> None:
    version = WorkflowVersion.objects.get(workflow__slug="five", state=VersionState.PUBLISHED)
    wanted = {
        "organization": version.workflow.organization_id, "workflow": version.workflow_id, "version": version.pk,
        "prefix": f"line-{uuid.uuid4().hex[:8]}-", "count": DUE - Run.objects.due().count(), "priority": BULK_PRIORITY,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_FILL, wanted)
        cursor.execute("ANALYZE workflows_run")
        cursor.execute("ANALYZE workflows_case")
    queue.ring("workflows.tick")


def _urgent_cases(stop: threading.Event) -> list[float]:
    """Seconds that urgent cases take, begun one a second: from storing the event to seeing the case closed."""
    took: list[float] = []
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    while not stop.wait(1):
        name = f"urgent-{uuid.uuid4().hex[:12]}"
        began = time.monotonic()
        five.event(organization, name, str(URGENT["opened_by"])).save()
        queue.ring("workflows.tick")
        cases = Case.objects.filter(organization=organization, kind=URGENT["case_kind"], key=name)
        while not cases.filter(closed_at__isnull=False).exists():
            assert time.monotonic() - began < 60, "An urgent case did not end within a minute."
            time.sleep(0.02)
        took.append(time.monotonic() - began)
    connection.close()
    return took


def measure() -> tuple[float, float]:
    """The 99th percentile of the pages in milliseconds, and the longest an urgent case took in seconds."""
    _fill()
    cookie, newest = signed_in("maya"), Run.objects.order_by("-pk")[0]
    paths = [path.format(case=newest.case_id, run=newest.pk) for path in PAGES]
    requests = [load.get(paths[number % len(paths)], cookie) for number in range(SECONDS * PAGES_PER_SECOND)]
    load.send(settings.WEB_PORT, requests[: WARM_UPS * len(paths)], connections=CONNECTIONS)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        urgent = beside.submit(_urgent_cases, stop)
        try:
            pages = load.send(settings.WEB_PORT, requests, connections=CONNECTIONS, per_second=PAGES_PER_SECOND)
        finally:
            stop.set()
        took = urgent.result()
    assert pages.per_second > 0
    assert Run.objects.due().count() > DUE / 4, "The line was too short by the end to say anything."
    return percentile(pages.latencies, 0.99), max(took)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare()
    else:
        print(json.dumps(measure()))
