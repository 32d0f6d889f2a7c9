"""`manage.py check_invariants`: exit 0 only when every invariant holds and each saw something."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from opsdesk.demo.effects import fetch_effects
from opsdesk.invariants import check_all
from workflows.models import Recovery


class Command(BaseCommand):
    """Says for every invariant how many rows it saw and what is wrong."""

    help = "Check what must always hold: in the rows of the desk, and in the effect log of a demonstration gateway."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--gateway", default="", help="Address of a demonstration gateway, for its effect log.")
        parser.add_argument("--demo", action="store_true", help="Use the demonstration gateway of `make run`.")

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["gateway"] or (f"http://127.0.0.1:{settings.GATEWAY_PORT}" if options["demo"] else "")
        effects = fetch_effects(url) if url else None
        broken = 0
        for recovery in Recovery.objects.open().select_related("organization"):
            self.stdout.write(f"{recovery.organization} recovers, so nothing of it is sent: {recovery.reason}")
        for finding in check_all(effects):
            verdict = "holds" if finding.holds else ("saw nothing" if not finding.population else "BROKEN")
            self.stdout.write(f"{finding.name:<4} {verdict:<12} {finding.population:>7}  {finding.rule}")
            for text in finding.wrong:
                self.stdout.write(f"       {text}")
            broken += not finding.holds
        if broken:
            raise CommandError(f"{broken} of the invariants do not hold, or had nothing to look at.")
