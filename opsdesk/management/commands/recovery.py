"""`manage.py recovery`: what whoever put a database back says to the desk, and asks of it."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from accounts.models import Organization
from opsdesk.lib.errors import DomainError
from workflows.models import Recovery
from workflows.recovery import mode, tide


class Command(BaseCommand):
    """Begins a recovery, or says how things stand. It is ended in the desk, by those who have read the report."""

    help = "Declare that the database was put back, so that nothing is sent until people have read what happened since."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        begin = verbs.add_parser("begin", help="stop sending until the reconciliation has been read and signed")
        begin.add_argument("--reason", required=True, help="why, for the audit log")
        begin.add_argument(
            "--since", default="", help="the moment the restored state is from, such as 2026-03-01T10:30Z"
        )
        begin.add_argument("--organization", default="", help="slug of one organization; by default all")
        verbs.add_parser("status", help="which organizations recover, and why")
        verbs.add_parser("look", help="look whether this database is an earlier one, as every start does")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked; refusals become one sentence."""
        if options["verb"] == "begin":
            self._begin(options["organization"], options["reason"], options["since"])
        elif options["verb"] == "look":
            found = tide.look()
            self.stdout.write("The database was put back." if found else "The database is the one it was.")
        self._say_status()

    def _begin(self, slug: str, reason: str, since: str) -> None:
        organizations = Organization.objects.filter(slug=slug) if slug else Organization.objects.all()
        if not organizations:
            raise CommandError(f"There is no organization “{slug}”.")
        moment = _moment(since)
        for organization in organizations:
            try:
                mode.declare(organization.pk, by=None, reason=reason, since=moment)
            except DomainError as refusal:
                self.stdout.write(f"{organization}: {refusal}")

    def _say_status(self) -> None:
        under_way = Recovery.objects.open().select_related("organization").order_by("organization__name")
        for recovery in under_way:
            signed = recovery.signatures.count()
            self.stdout.write(
                f"{recovery.organization} recovers since {recovery.begun_at:%Y-%m-%d %H:%M} UTC: {recovery.reason} "
                f"{signed} of {recovery.signatures_needed} signed."
            )
        if not under_way:
            self.stdout.write("No organization recovers: everything is sent as usual.")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(f"“{text}” is not a moment with its zone, such as 2026-03-01T10:30Z.")
    return moment
