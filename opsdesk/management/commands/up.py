"""`manage.py up`: the whole desk on one host, until Ctrl-C."""

import os
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from opsdesk.celery import app
from opsdesk.demo import cast
from opsdesk.embedded import preflight
from opsdesk.embedded.addresses import AS_OWNER
from opsdesk.embedded.desk import Desk
from opsdesk.embedded.processes import CannotStart
from opsdesk.embedded.supervisor import Supervisor, Terminal

KNOCK_SECONDS = 5


class Command(BaseCommand):
    """Start the servers that come along, prepare the database, and keep every process of the desk alive."""

    help = "Start the whole desk on this host and keep it running until Ctrl-C."
    requires_system_checks: list[str] = []  # `prepare` runs them, once the database is there

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--without-demo",
            action="store_true",
            help="no demonstration organization, gateway, inbox and replay",
        )
        parser.add_argument("--without-replay", action="store_true", help="the demonstration without arriving requests")
        parser.add_argument("--without-workers", action="store_true", help="only take in: events are stored and wait")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until asked to stop; what keeps the desk from starting becomes one sentence."""
        desk = Desk.from_environment(
            demo=not options["without_demo"] and not settings.PRODUCTION,
            replay=not options["without_replay"],
            automations=not options["without_workers"],
        )
        self.terminal = Terminal()
        # Only `prepare` owns the tables, whoever starts the desk.
        os.environ.pop(AS_OWNER, None)
        try:
            with preflight.plain_words(), preflight.sole_holder(desk.places.var):
                self._look_around(desk)
                Supervisor(desk.places.var, self.terminal).run(desk.stages(lambda: self._announce(desk)))
        except CannotStart as reason:
            raise CommandError(str(reason)) from reason

    def _look_around(self, desk: Desk) -> None:
        note = preflight.identify(desk.places)
        if note:
            self.terminal.say("up", note)
        for name in preflight.clear_leftovers(desk.places):
            self.terminal.say("up", f"stopped {name}, left behind by a desk that was killed")
        preflight.ports_are_free(desk.ports)
        preflight.space_is_left(desk.places)
        reach_given_servers()
        desk.prepare()

    def _announce(self, desk: Desk) -> None:
        say = self.terminal.say
        say("up", f"The desk is open: {settings.BASE_URL}/")
        if desk.demo:
            for member in cast.CAST:
                say("up", f"  sign in as {member.username:<7} {cast.PASSWORD}   {member.role.label}")
            say("up", f"  its mail arrives at http://127.0.0.1:{settings.INBOX_PORT}/")
        say("up", "Ctrl-C stops everything; the data is kept.")


def reach_given_servers() -> None:
    """Knock at every server that was given by URL; raises CannotStart for the first that does not open."""
    knocks: dict[str, Callable[[], object]] = {
        "DATABASE_URL": connection.ensure_connection,
        "REDIS_URL": redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=KNOCK_SECONDS).ping,
        "BROKER_URL": app.connection(connect_timeout=KNOCK_SECONDS).connect,
    }
    for name, knock in knocks.items():
        if not os.environ.get(name):
            continue
        try:
            knock()
        except (OperationalError, redis.RedisError, OSError) as refusal:
            reason = (str(refusal).strip().splitlines() or ["it gave no reason"])[0]
            raise CannotStart(f"The server in {name} does not let us in: {reason}") from refusal
    connection.close()
