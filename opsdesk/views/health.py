"""Whether this process lives, and whether it can serve: for supervisors and load balancers."""

from collections.abc import Callable

import structlog
from celery import current_app
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from accounts.access import public

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
    """200 when database, migrations and broker are there, else 503 and which is not; open for the same reason.

    Webhooks are taken in without the broker: whatever routes /hooks/ should ask `alive` instead.
    """
    checks = {"database": _check(_database), "migrations": _check(_migrations), "broker": _check(_broker)}
    good = all(state == "ok" for state in checks.values())
    return JsonResponse({"ready": good, **checks}, status=200 if good else 503)


def _check(look: Callable[[], str]) -> str:
    """The word of a check; its trouble goes to the log, not to whoever asks."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is not ready
        log.warning("not_ready", check=look.__name__.strip("_"), error=str(error))
        return "not reachable"


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
