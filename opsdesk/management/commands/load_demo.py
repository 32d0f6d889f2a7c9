"""Load the demonstration organization with its records."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from accounts.models import Organization
from opsdesk.demo import cast, gateway, mirrors, organization, records
from opsdesk.lib import clock


class Command(BaseCommand):
    """Idempotent: what is there stays as it is, what is missing is added."""

    help = "Load the demonstration organization: people, workflow, connections, and a wholesaler's real records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--if-empty", action="store_true", help="do nothing when the desk has an organization already"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_empty"] and Organization.objects.exists():
            self.stdout.write("The desk has an organization already; the demonstration was not loaded.")
            return
        with transaction.atomic():
            loaded = organization.set_up()
            weeks = mirrors.loaded_weeks(loaded)
            if weeks is None:
                weeks = records.weeks_until(clock.now().astimezone(records.ZONE).date())
            excerpt = records.Excerpt.read(weeks)
            mirrors.fill(loaded, organization.gateway_of(loaded), excerpt)
        self.stdout.write(
            f"{loaded.name}: {len(excerpt.customers)} customers, {len(excerpt.orders)} orders, "
            f"{len(excerpt.requests)} refund requests to replay."
        )
        try:
            gateway.seed(excerpt)
        except gateway.GatewayAway:
            self.stdout.write("The demonstration gateway is not running; replay tells it of the payments.")
        names = ", ".join(f"{member.username} ({member.role.label.lower()})" for member in cast.CAST)
        self.stdout.write(f"Sign in as {names}; the password is {cast.PASSWORD}.")
