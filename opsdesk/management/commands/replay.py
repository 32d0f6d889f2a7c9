"""Play the wholesaler's refund requests to the running desk."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from accounts.models import Organization
from opsdesk.demo import cast, gateway, mirrors, records, settling
from opsdesk.demo.deliveries import Delivery, Shares, plan
from opsdesk.demo.replay import Summary, at_speed, gently, pending, play
from opsdesk.demo.shop import DeskUnreachable, Shop

WAIT_SECONDS = 300


class Command(BaseCommand):
    """Signed webhooks over HTTP, in the order of the records; what has arrived before is not sent again."""

    help = "Post the shop's refund requests to the running desk as signed webhooks, and go on where it stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--count", type=int, help="how many requests to send; all that are left without it")
        pace = parser.add_mutually_exclusive_group()
        pace.add_argument("--speed", type=float, help="deliveries a second; as fast as it goes without it")
        pace.add_argument("--gentle", action="store_true", help="a few quick ones, then one every ten seconds")
        parser.add_argument("--duplicates", type=float, default=0.2, help="share sent twice (0.2)")
        parser.add_argument("--late", type=float, default=0.05, help="share that comes long after its turn (0.05)")
        parser.add_argument("--out-of-order", type=float, default=0.1, help="share overtaken by a few (0.1)")
        parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same odd deliveries (7)")
        parser.add_argument("--url", help="where to post, by default the shop's address at this desk")
        parser.add_argument("--patience", type=float, default=600, help="seconds to try one event for (600)")
        parser.add_argument(
            "--wait", type=float, nargs="?", const=WAIT_SECONDS, metavar="SECONDS",
            help=f"then wait until the desk has worked them off ({WAIT_SECONDS} s at most)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=cast.ORGANIZATION).first()
        weeks = mirrors.loaded_weeks(organization) if organization else None
        if organization is None or weeks is None:
            raise CommandError("The demonstration is not loaded: run `manage.py load_demo` first.")
        excerpt = records.Excerpt.read(weeks)
        self._seed(excerpt)
        requests = pending(excerpt.requests, settling.arrived(), options["count"])
        try:
            shares = Shares(options["duplicates"], options["late"], options["out_of_order"])
        except ValueError as odd:
            raise CommandError(str(odd)) from odd
        deliveries: Iterator[Delivery] = iter(plan(requests, shares, seed=options["seed"]))
        pauses = at_speed(options["speed"])
        if options["gentle"]:
            # It runs for hours: whatever arrived by another way meanwhile is passed over.
            deliveries, pauses = settling.not_arrived(deliveries), gently()
        path = reverse("integrations:receive", args=[cast.ORGANIZATION, "shop"])
        shop = Shop(
            options["url"] or f"http://127.0.0.1:{settings.WEB_PORT}{path}",
            cast.SHOP_WEBHOOK_SECRET,
            patience=options["patience"],
        )
        self.stdout.write(f"{len(requests)} of {len(excerpt.requests)} requests will be sent.")
        self._play(deliveries, shop, pauses)
        if options["wait"]:
            self._wait(organization, options["wait"])

    def _seed(self, excerpt: records.Excerpt) -> None:
        try:
            gateway.seed(excerpt)
        except gateway.GatewayAway as away:
            self.stderr.write(f"{away} Cases will wait for it.")

    def _play(self, deliveries: Iterator[Delivery], shop: Shop, pauses: Iterator[float]) -> None:
        summary = Summary()
        try:
            play(deliveries, shop, pauses, summary)
        except DeskUnreachable as away:
            raise CommandError(f"{away}\n{summary}") from away
        except KeyboardInterrupt:
            self.stdout.write(f"Stopped; the next replay goes on from here. {summary}")
            sys.exit(130)
        self.stdout.write(str(summary))

    def _wait(self, organization: Organization, seconds: float) -> None:
        if not settling.wait_until_settled(organization, seconds=seconds):
            raise CommandError(f"After {seconds:.0f} s the desk still works: {settling.standing(organization)}")
        self.stdout.write(settling.standing(organization))
