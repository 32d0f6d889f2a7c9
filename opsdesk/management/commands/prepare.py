"""`manage.py prepare`: what `up` does between the start of the servers and the first page."""

import hashlib
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand

from opsdesk.embedded.addresses import DESK
from opsdesk.erasure import marks
from opsdesk.grants import grant_to
from opsdesk.lib import migrating
from workflows.recovery import tide


class Command(BaseCommand):
    """Migrate, load the demonstration organization once, notice a restore, collect the static files."""

    help = "Migrate the database, load the demonstration desk once, collect static files when they changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--without-demo", action="store_true", help="leave the demonstration organization out")
        parser.add_argument(
            "--grant-to", metavar="ROLE", help="the role of the desk's processes, when another one owns the tables"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run them, saying only what changed."""
        migrating.migrate()
        # The embedded database has a role for the processes, also after a dump from before was put back into it.
        role = options["grant_to"] or ("" if os.environ.get("DATABASE_URL") else DESK)
        if role:
            count = grant_to(role)
            if role != DESK:  # that is so at every start and no news
                self.stdout.write(f"{role} may work with {count} tables.")
        if not options["without_demo"] and not settings.PRODUCTION:  # its passwords are known to everybody
            call_command("load_demo", if_empty=True)
        put_back = tide.look()
        if put_back:
            self.stdout.write("The database was put back: nothing is sent until the recovery is signed.")
        if marks.waiting() or (put_back and marks.place().exists()):
            call_command("erase", "again", stdout=self.stdout)
        self._collect_static_files()

    def _collect_static_files(self) -> None:
        stamp = Path(settings.STATIC_ROOT).with_suffix(".stamp")
        fingerprint = _fingerprint_of_static_files()
        if stamp.exists() and stamp.read_text() == fingerprint and Path(settings.STATIC_ROOT).exists():
            return
        # What is there stays: during an upgrade old processes still serve pages that name it.
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.write_text(fingerprint)


def _fingerprint_of_static_files() -> str:
    found = hashlib.sha256(str(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            facts = Path(storage.path(path)).stat()
            found.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return found.hexdigest()
