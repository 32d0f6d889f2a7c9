"""`manage.py reversal drill`: whether what is declared to be taken back still can be."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opsdesk.drill.running import run


class Command(BaseCommand):
    """Runs every declared reversal against a sandbox of its own; no connection of the desk is called."""

    help = "Take everything back in the sandbox that is declared to be taken back, and keep what came of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("drill", help="run every declared reversal once, and fail where one does not work")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say what came of each; fails when one does not work any more, or nothing was tried."""
        drill = run()
        for result in drill.results.order_by("connector", "operation"):
            mark = "works" if result.works else "FAILS"
            self.stdout.write(
                f"{mark}  {result.connector} {result.operation}: {result.words} "
                f"({result.calls} calls, {result.milliseconds} ms)"
            )
        if drill.failed or not drill.tried:
            raise CommandError(f"{drill.failed} of {drill.tried} reversals do not work.")
        self.stdout.write(f"All {drill.tried} declared reversals work ({drill.milliseconds} ms).")
