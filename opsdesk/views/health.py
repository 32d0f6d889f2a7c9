"""Whether this process lives, and whether it can serve: for supervisors, load balancers and monitoring."""

from collections.abc import Callable

import structlog
from celery import current_app
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from accounts.access import public
from opsdesk.lib.wording import span
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch.heartbeats import database_now
from opsdesk.watch.processes import SILENT
from workflows.models import Recovery

log = structlog.get_logger(__name__)
_BROKER_SECONDS = 2


@require_safe
@public
def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; open to everybody, because a supervisor cannot sign in. Asks no database."""
    return JsonResponse({"alive": True})


@require_safe
@public
def ready(request: HttpRequest) -> HttpResponse:
    """200 when database, migrations, broker and beat are there, else 503 and which is not; open for the same reason.

    `?only=database,migrations` asks for some alone: pages need no more, and webhooks are taken in without the broker.
    """
    asked = {name.strip() for name in request.GET.get("only", "").split(",")} & set(CHECKS)
    checks = {name: _check(name, look) for name, look in CHECKS.items() if name in (asked or CHECKS)}
    good = all(state == "ok" for state in checks.values())
    # Whoever serves while it recovers is ready: people have to read the reports, and requests are taken in.
    mode = {"mode": "recovery"} if checks.get("database") == "ok" and _check("mode", _mode) == "recovery" else {}
    return JsonResponse({"ready": good, **checks, **mode}, status=200 if good else 503)


def _check(name: str, look: Callable[[], str]) -> str:
    """The word of a check; its trouble goes to the log, not to whoever asks."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is not ready
        log.warning("not_ready", check=name, error=str(error))
        return "not reachable"


def _mode() -> str:
    return "recovery" if Recovery.objects.open().exists() else "normal"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    return "missing" if executor.migration_plan(executor.loader.graph.leaf_nodes()) else "ok"


def _broker() -> str:
    with current_app.connection_for_write(connect_timeout=_BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=_BROKER_SECONDS)
    return "ok"


def _beat() -> str:
    last = Heartbeat.objects.of(HeartbeatKind.BEAT).order_by("-last_seen_at").first()
    if last is None:
        return "never seen"
    silence = last.silent_for(database_now())
    return f"silent for {span(silence)}" if silence > SILENT else "ok"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "beat": _beat,
}
