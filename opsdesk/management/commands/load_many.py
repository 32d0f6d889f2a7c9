"""Load very many cases into the demonstration organization."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from opsdesk.demo import cast, many


class Command(BaseCommand):
    """Adds until the desk holds as many as asked for. Refused where anything but the demonstration is."""

    help = "Load very many cases, closed and open ones, to see how the desk behaves with them: a million in minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cases", type=int, default=1_000_000, help="how many in all (1000000)")
        parser.add_argument("--open", type=int, default=50_000, help="how many of the new ones wait for people (50000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them, saying how far it is."""
        _refuse_real_data()
        if not 0 <= options["open"] <= options["cases"] <= 10_000_000:
            raise CommandError("Ask for at most 10,000,000 cases, and for no more open ones than cases.")
        for done in many.make(options["cases"], options["open"]):
            self.stdout.write(f"{done:,} of {options['cases']:,} cases", ending="\n")
            self.stdout.flush()
        self.stdout.write(f"The desk holds {many.made():,} of these cases.")


def _refuse_real_data() -> None:
    """Raise CommandError on a desk that somebody could depend on."""
    if settings.PRODUCTION:
        raise CommandError("This is a desk in production: very many invented cases have no place there.")
    if not Organization.objects.filter(slug=cast.ORGANIZATION).exists():
        raise CommandError("The demonstration organization is not there: run load_demo first.")
    others = Organization.objects.exclude(slug=cast.ORGANIZATION).values_list("name", flat=True)
    if others:
        raise CommandError(f"This desk holds more than the demonstration: {', '.join(others[:5])}.")
