"""Reading a long audit log, run as a process of its own: fills it, and prints the milliseconds of each way to ask."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import django

django.setup()

from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Membership  # noqa: E402
from accounts.roles import Role  # noqa: E402
from auditlog.models import Entry  # noqa: E402

VISITS, PIECE = 11, 1_000_000
# Two years, mostly of the desk's own work; one in fifty is a person's, one in ten thousand is of the rarest kinds.
_FILL = """
    INSERT INTO auditlog_entry (at, organization_id, actor_kind, actor, user_id, verb, subject_kind, subject_id,
        case_id, before, after, reason, request_id)
    SELECT now() - interval '2 years' + n::float8 / %(total)s * interval '2 years', %(organization)s,
        CASE WHEN n %% 50 = 0 THEN 'person' ELSE 'run' END, 'Bench', CASE WHEN n %% 50 = 0 THEN %(user)s END,
        CASE WHEN n %% 10000 = 0 THEN 'accounts.team.changed' ELSE
            (ARRAY['workflows.case.opened', 'approvals.review.opened', 'integrations.action.verified'])[1 + n %% 3]
        END,
        CASE WHEN n %% 10000 = 0 THEN 'team' ELSE (ARRAY['case', 'review', 'action'])[1 + n %% 3] END,
        n, n / 5, '{}', '{"amount": 14148, "currency": "GBP"}', 'Because the bench fills the log.', 'request-' || n / 3
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""


def fill(total: int) -> None:
    """So many entries over the last two years, in pieces."""
    member = _reader()
    for first in range(1, total + 1, PIECE):
        values = {"organization": member.organization_id, "user": member.user_id, "total": total}
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0; SET synchronous_commit = off")
            cursor.execute(_FILL, {**values, "first": first, "last": min(first + PIECE - 1, total)})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE auditlog_entry")


def _reader() -> Membership:
    return Membership.objects.filter(role=Role.AUDITOR).select_related("user").order_by("pk")[0]


def _addresses() -> Iterator[str]:
    yield ""
    yield f"user={_reader().user_id}"
    yield "verb=accounts.team.changed"
    yield "subject_kind=team"
    yield "period=week"
    long_ago = timezone.localdate() - timedelta(days=400)
    yield f"since={long_ago}&until={long_ago + timedelta(days=6)}"
    yield f"before={Entry.objects.order_by('pk')[1000].pk}"


def measure() -> dict[str, float]:
    """The median of some visits for each query, in milliseconds; the first visit of all is not counted."""
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(_reader().user)
    found = {}
    for query in _addresses():
        visits = []
        for _ in range(VISITS):
            began = time.perf_counter()
            response = client.get(f"/audit/?{query}", secure=True)
            visits.append((time.perf_counter() - began) * 1000)
            assert response.status_code == 200, response
        found[query] = sorted(visits[1:])[VISITS // 2]
    return found


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]))
        print("{}")
    else:
        print(json.dumps(measure()))
