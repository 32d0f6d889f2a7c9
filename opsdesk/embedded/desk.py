"""Which processes make up a desk on one host, and in which order they start."""

import http.client
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from opsdesk.embedded.addresses import DESK, ROOT, Places, places
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.processes import Runs, Service
from opsdesk.embedded.supervisor import Stage
from opsdesk.embedded.valkey import Valkey

# What is under way when a desk is asked to stop, a call to a slow gateway say, is let come to its end for so long.
ENDS_WITHIN = 25.0
WEB_WORKERS, WEB_THREADS, AUTOMATION_WORKERS = 2, 8, 2
MINUTES_TO_PREPARE = 60
# Celery advises against root, as it should; whoever starts a trial as root has decided that already.
NOT_AS_ROOT = "ignore:You're running the worker with superuser privileges"


@dataclass(frozen=True)
class Desk:
    """One desk: its folders, which servers come along, and whether the demonstration does."""

    demo: bool
    embedded_database: bool
    embedded_broker: bool
    replay: bool = True
    automations: bool = True

    @classmethod
    def from_environment(cls, *, demo: bool, replay: bool = True, automations: bool = True) -> "Desk":
        """A server that is given by URL is not started; everything else is as ever.

        Without `automations` only the web process takes part: events are stored and wait.
        """
        given = os.environ
        return cls(
            demo=demo,
            embedded_database=not given.get("DATABASE_URL"),
            embedded_broker=not (given.get("REDIS_URL") and given.get("BROKER_URL")),
            replay=demo and replay,
            automations=automations,
        )

    @property
    def places(self) -> Places:
        """Where it keeps its files."""
        return places()

    @property
    def ports(self) -> dict[str, int]:
        """The ports it listens on, by the setting that moves each."""
        demonstration = {
            "OPSDESK_GATEWAY_PORT": settings.GATEWAY_PORT,
            "OPSDESK_INBOX_PORT": settings.INBOX_PORT,
            "OPSDESK_SMTP_PORT": settings.SMTP_PORT,
        }
        return {"OPSDESK_PORT": settings.WEB_PORT} | (demonstration if self.demo else {})

    def prepare(self) -> None:
        """Make the folders and files of the servers that come along."""
        if self.embedded_database:
            Postgres(self.places).prepare()
        if self.embedded_broker:
            Valkey(self.places).prepare()

    def stages(self, announce: Callable[[], None]) -> list[Stage]:
        """Everything in its order; `announce` is called once the first page answers."""
        servers = [
            *([Postgres(self.places).service()] if self.embedded_database else []),
            *([Valkey(self.places).service()] if self.embedded_broker else []),
            *(self._outside_world() if self.demo else []),
        ]
        options = [
            *([] if self.demo else ["--without-demo"]),
            *(["--grant-to", DESK] if self.embedded_database else []),
        ]
        prepare = _manage("prepare", "prepare", *options, runs=Runs.ONCE)
        replay = [_manage("replay", "replay", "--gentle", runs=Runs.UNTIL_DONE)] if self.replay else []
        return [
            Stage(tuple(servers)),
            Stage((prepare,)),
            Stage((_web(),), then=announce),
            Stage((*(_workers() if self.automations else []), *replay)),
        ]

    def _outside_world(self) -> list[Service]:
        from opsdesk.demo import cast

        storage = self.places.var / "sandbox"
        gateway, inbox, smtp = settings.GATEWAY_PORT, settings.INBOX_PORT, settings.SMTP_PORT
        return [
            _python(
                "gateway",
                *(
                    "-m",
                    "opsdesk.sandbox.gateway",
                    "--port",
                    str(gateway),
                    "--storage",
                    str(storage / "gateway"),
                    "--api-key",
                    cast.GATEWAY_KEY,
                    "--webhook-url",
                    f"http://127.0.0.1:{settings.WEB_PORT}/hooks/{cast.ORGANIZATION}/gateway/",
                    "--webhook-secret",
                    cast.GATEWAY_WEBHOOK_SECRET,
                ),
                ready=lambda: _listens(gateway),
            ),
            _python(
                "inbox",
                *("-m", "opsdesk.sandbox.inbox", "--port", str(inbox), "--smtp-port", str(smtp)),
                *("--storage", str(storage / "inbox")),
                ready=lambda: _listens(inbox) and _listens(smtp),
            ),
        ]


def _web() -> Service:
    port = settings.WEB_PORT
    return _python(
        "web",
        *("-m", "gunicorn", "opsdesk.wsgi:application", "--bind", f"127.0.0.1:{port}"),
        *("--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS)),
        *("--graceful-timeout", "20", "--no-control-socket", "--log-level", "warning"),
        ready=lambda: answers(port),
        stop_seconds=ENDS_WITHIN,
    )


def _workers() -> list[Service]:
    celery = ("-W", NOT_AS_ROOT, "-m", "celery", "--quiet", "--app", "opsdesk")
    return [
        _python(
            "worker",
            *(*celery, "worker", "--pool", "prefork", "--concurrency", str(AUTOMATION_WORKERS)),
            *("--without-mingle", "--without-gossip", "--loglevel", "INFO"),
            stop_seconds=ENDS_WITHIN,
        ),
        # Kept in memory: every entry only says "look now", and a file could be left half-written.
        _python("beat", *celery, "beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "WARNING"),
        _manage("jobs", "rqworker", "default", "--verbosity", "0"),
    ]


def _manage(name: str, *arguments: str, runs: Runs = Runs.ALWAYS) -> Service:
    return _python(name, str(ROOT / "manage.py"), *arguments, runs=runs)


def _python(
    name: str,
    *arguments: str,
    ready: Callable[[], bool] | None = None,
    runs: Runs = Runs.ALWAYS,
    stop_seconds: float = 10.0,
) -> Service:
    return Service(
        name,
        (sys.executable, *arguments),
        ready,
        runs,
        stop_seconds=stop_seconds,
        ready_seconds=MINUTES_TO_PREPARE * 60.0 if runs is Runs.ONCE else 60.0,
        folder=Path(ROOT),
    )


def _listens(port: int) -> bool:
    with socket.socket() as line:
        line.settimeout(1)
        return line.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int) -> bool:
    """Whether the desk shows a page."""
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        page.request("GET", "/sign-in/", headers={"Host": _host(port)})
        return page.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        page.close()


def _host(port: int) -> str:
    """A name the desk answers to."""
    allowed = [name for name in settings.ALLOWED_HOSTS if not name.startswith((".", "*"))]
    return f"127.0.0.1:{port}" if "127.0.0.1" in allowed or not allowed else allowed[0]
