"""`manage.py reset`: throw the data of this desk away."""

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opsdesk.embedded import preflight
from opsdesk.embedded.addresses import ROOT, Places, places
from opsdesk.embedded.processes import CannotStart


class Command(BaseCommand):
    """Remove what the desk wrote on this host, after asking. Servers given by URL are left alone."""

    help = "Throw away what this desk keeps on this host: its embedded database, queues and files."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, stop what a killed desk left running, remove."""
        where = places()
        doomed = folders_of(where)
        if not doomed:
            self.stdout.write("There is no data to throw away.")
            return
        if not options["yes"] and not self._agreed(doomed):
            raise CommandError("Nothing was thrown away.")
        try:
            with preflight.plain_words(), preflight.sole_holder(where.var):
                preflight.clear_leftovers(where)
                for folder in doomed:
                    shutil.rmtree(folder)
        except CannotStart as reason:
            raise CommandError(str(reason)) from reason
        self.stdout.write("The data is gone; the next start makes a new desk.")

    def _agreed(self, doomed: list[Path]) -> bool:
        names = " and ".join(str(folder) for folder in doomed)
        try:
            return input(f"Throw away everything in {names}? Type yes: ").strip().lower() == "yes"
        except EOFError:
            return False


def folders_of(where: Places) -> list[Path]:
    """The folders that carry this desk's mark; a folder that it did not make is never among them."""
    own = preflight.identity_of(where.var)
    if own is None:
        return []
    if where.var in (ROOT, *ROOT.parents):
        raise CommandError(f"{where.var} holds more than the data of the desk: remove what you do not need by hand.")
    beside = [where.sockets] if where.sockets.exists() and where.base not in where.sockets.parents else []
    elsewhere = [where.elsewhere] if preflight.identity_of(where.elsewhere) == own else []
    return [where.var, *elsewhere, *beside]
