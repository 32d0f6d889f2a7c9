"""`manage.py restore`: put a backup of the embedded desk back, or try out whether that would work."""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from opsdesk.backup import manifest, restoring, server
from opsdesk.backup.manifest import ERASED, Manifest
from opsdesk.embedded.processes import CannotStart
from opsdesk.erasure import marks
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.models import Backup


class Command(BaseCommand):
    """Check, put back beside, look through, take the place: whatever fails before the last leaves the desk as it is."""

    help = "Put a backup back into the embedded database. The desk recovers afterwards: nothing is sent until signed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="the folder of the backup")
        parser.add_argument(
            "--on-trial", action="store_true", help="put it back beside the desk, look through it, throw it away"
        )
        parser.add_argument(
            "--over", action="store_true", help="also where the desk has data: that database is kept under another name"
        )
        parser.add_argument(
            "--made-elsewhere", action="store_true", help="take one that was signed under another OPSDESK_SECRET_KEY"
        )
        parser.add_argument(
            "--erased", type=Path, action="append", default=[], metavar="FILE", help="a copy of a list of erasures"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Refusals become one sentence, and nothing has changed then."""
        if os.environ.get("DATABASE_URL"):
            raise CommandError(
                "The database is one of your own (DATABASE_URL): put it back with its tools; docs/restore.md says how."
            )
        folder, on_trial = options["folder"].resolve(), options["on_trial"]
        with _plainly():
            found = restoring.check(folder, made_elsewhere=options["made_elsewhere"])
            self.stdout.write(f"The backup of {found.made_at:%Y-%m-%d %H:%M:%S} UTC is the one that was written.")
            with server.at_hand(desk_may_run=on_trial):
                if on_trial:
                    self._try(folder, found)
                else:
                    self._restore(folder, found, over=options["over"], erased=options["erased"])

    def _try(self, folder: Path, found: Manifest) -> None:
        """Put it back and throw it away, and note what came of it for the watchdog."""
        trouble = ""
        try:
            with restoring.put_back(folder, found, self._database, say=self.stdout.write):
                pass
        except (DomainError, Error, psycopg.Error) as refusal:
            trouble = " ".join(str(refusal).split())[:500] or type(refusal).__name__
            raise
        finally:
            Backup.objects.filter(name=folder.name).update(tried_at=clock.now(), tried_trouble=trouble)
        self.stdout.write("The backup can be put back. Nothing of the desk was changed.")

    def _restore(self, folder: Path, found: Manifest, *, over: bool, erased: list[Path]) -> None:
        database = self._database
        count = restoring.organizations_in(database)
        if count and not over:
            raise manifest.NotUsable(
                f"This desk has data of {count} organizations. Say --over to put the backup in its place; what is "
                "there now is kept under another name."
            )
        restoring.merge_erased([folder / ERASED, *erased])
        with restoring.put_back(folder, found, database, say=self.stdout.write) as made:
            aside = restoring.take_the_place(made.name, database)
        marks.keep_waiting(made.waiting)
        moved = restoring.set_heads_aside(int(found.seal.get("number", 0)))
        if moved:
            self.stdout.write(f"Heads of seals that were made after the backup lie in {moved} now: keep them.")
        if aside and count:
            self.stdout.write(f"What was there before is the database {aside}; drop it when nobody needs it any more.")
        elif aside:
            restoring.drop(aside)
        if made.waiting:
            self.stdout.write("Somebody who was erased has an open case again: run manage.py erase again once it ends.")
        self.stdout.write("Start the desk: an admin reads and signs on the page Recovery before anything is sent.")

    @property
    def _database(self) -> str:
        return str(connection.settings_dict["NAME"])


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except (DomainError, CannotStart, Error, psycopg.Error) as refusal:
        raise CommandError(f"Nothing was put back. {refusal}") from refusal
