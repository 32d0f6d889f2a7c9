"""`manage.py backup`: write a backup of the embedded desk, which goes on working meanwhile."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from opsdesk.backup import server, writing
from opsdesk.backup.manifest import LACKS
from opsdesk.embedded.processes import CannotStart
from opsdesk.lib.errors import DomainError


class Command(BaseCommand):
    """Write it, read it again to the last byte, and remove the oldest. Exit 1 when there is none afterwards."""

    help = "Write a backup of the embedded database into a folder of its own, check it, and keep the newest ones."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", type=Path, default=Path(settings.BACKUPS), metavar="FOLDER", help="by default OPSDESK_BACKUPS"
        )
        parser.add_argument(
            "--keep", type=int, default=writing.KEEP, metavar="N", help=f"the newest so many ({writing.KEEP})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what there is now."""
        if os.environ.get("DATABASE_URL"):
            raise CommandError(
                "The database is one of your own (DATABASE_URL): back it up as your other databases; docs/restore.md "
                "says how."
            )
        if options["keep"] < 1:
            raise CommandError("Keep at least one.")
        try:
            with server.at_hand(desk_may_run=True):
                written = writing.write(options["to"].resolve(), keep=options["keep"])
        except (DomainError, CannotStart) as reason:
            raise CommandError(f"There is no backup. {reason}") from reason
        found = written.manifest
        size = sum(int(facts["bytes"]) for facts in found.files.values())
        self.stdout.write(f"{written.folder}: {found.total} rows of {len(found.rows)} tables, {size} bytes.")
        self.stdout.write(f"It was read again and is whole. It does not hold {' and '.join(LACKS)}: keep them apart.")
        for name in written.removed:
            self.stdout.write(f"{name} was removed: {options['keep']} are kept.")
        if options["to"].resolve().is_relative_to(Path(settings.VAR_DIR).resolve()):
            self.stdout.write("It lies on the disk of the desk: take a copy to another machine.")
