"""`manage.py audit`: whether the log is whole, its seals and its heads."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from auditlog import bundles
from auditlog.models import Erasure, Seal
from auditlog.seals import handing, heads, looking, sealing, verifying


class Command(BaseCommand):
    """Verify the log, seal it now, hand its head out now. Exit 1 when the log is broken or a head was not taken."""

    help = "Verify the audit log and name the first broken place; seal it and hand its head out now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="name the first broken place; exit 1 when there is one")
        verify.add_argument(
            "--heads",
            action="append",
            default=[],
            metavar="FILE",
            help="heads that were handed outside, a JSON object a line; by default the file of this machine",
        )
        bundle = verbs.add_parser("verify-bundle", help="check evidence that was taken out; asks no database")
        bundle.add_argument("file", type=Path, help="the file of the case page")
        bundle.add_argument("--heads", action="append", default=[], metavar="FILE", help="heads from outside, as above")
        verbs.add_parser("seal", help="seal what is settled now, instead of at the next beat")
        verbs.add_parser("hand-out", help="hand the newest head out now")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        match options["verb"]:
            case "verify":
                self._verify([Path(name) for name in options["heads"]])
            case "verify-bundle":
                self._verify_bundle(options["file"], [Path(name) for name in options["heads"]])
            case "seal":
                closed = sealing.seal()
                self.stdout.write(f"{closed} entries were sealed, {verifying.waiting()} wait for running transactions.")
            case "hand-out":
                self._hand_out()

    def _verify(self, files: list[Path]) -> None:
        try:
            given = [head for file in files for head in heads.read(file)] if files else heads.of_this_machine()
        except (OSError, ValueError) as odd:
            raise CommandError(f"The heads cannot be read: {odd}") from odd
        report = verifying.verify([*given])
        looking.note(report, asked_by="command")
        known = f"{report.seals} seals over {report.entries} entries and {report.heads} heads were looked at"
        known += f", and {report.changes} changes that the database saw"
        if report.found:
            self.stdout.write(f"BROKEN  {report.found}\n        {known}.")
            sys.exit(1)
        erased = Erasure.objects.count()
        self.stdout.write(f"The log is whole: {known}; {verifying.waiting()} entries wait for their seal.")
        if erased:
            self.stdout.write(f"Of {erased} entries texts were erased; what is left of them verifies.")
        if not report.heads and Seal.objects.exists():
            self.stdout.write("No head from outside was compared: give --heads, or whoever owns the tables is trusted.")

    def _verify_bundle(self, file: Path, files: list[Path]) -> None:
        try:
            bundle = json.loads(file.read_text())
            given = {head.number: head.head for each in files for head in heads.read(each)} if files else None
        except (OSError, ValueError) as odd:
            raise CommandError(f"It cannot be read: {odd}") from odd
        faults = bundles.faults(bundle, given)
        if faults:
            self.stdout.writelines(f"BROKEN  {fault}" for fault in faults)
            sys.exit(1)
        entries, waiting = len(bundle["entries"]), bundles.unsealed(bundle)
        self.stdout.write(f"The evidence of {bundle['about']['case']} holds: {entries - waiting} of {entries} entries")
        self.stdout.write("are proved by a seal; the others had none yet when it was taken out.")
        if given is None:
            self.stdout.write("No head from outside was compared: give --heads, or whoever owns the tables is trusted.")

    def _hand_out(self) -> None:
        handings = handing.hand_out(at_once=True)
        if not handings:
            raise CommandError("There is no seal yet, or no outlet: set OPSDESK_HEADS_FILE, _MAIL or _WEBHOOK.")
        self.stdout.writelines(_told(handings))
        if any(each.trouble for each in handings):
            sys.exit(1)


def _told(handings: Iterable[Any]) -> list[str]:
    return [
        json.dumps({"seal": each.seal_number, "to": f"{each.outlet} {each.target}", "trouble": each.trouble})
        for each in handings
    ]
