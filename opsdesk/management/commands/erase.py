"""`manage.py erase`: erase a person, or erase again whom a restore brought back."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from auditlog.services import Actor
from opsdesk.erasure import agreed, erasing, marks
from opsdesk.lib.errors import DomainError


class Command(BaseCommand):
    """Run it as the role that owns the tables: the desk's own role may not change what was written down."""

    help = "Erase a customer or a requester, or whom two people agreed on; after a restore, who was erased before."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        person = verbs.add_parser("person", help="erase one person; their cases must be closed and held by no law")
        person.add_argument("--organization", required=True, metavar="SLUG")
        who = person.add_mutually_exclusive_group(required=True)
        who.add_argument("--customer", help="the number by which the systems outside know the customer")
        who.add_argument("--requester", help="the requester, as the requests name them")
        person.add_argument("--reason", required=True)
        verbs.add_parser("agreed", help="erase whom two people agreed on at the desk")
        verbs.add_parser("again", help="after a restore: erase whom the list of erasures names")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say how much there was."""
        actor = Actor.desk(f"{getpass.getuser()} at the server")
        if options["verb"] == "again":
            done, waiting = erasing.again(Organization.objects.order_by("pk"), actor=actor)
            marks.keep_waiting(waiting)
            self.stdout.write(f"{len(done)} people were erased again.")
            for mark in waiting:
                self.stdout.write(f"{mark} has an open case or a legal hold again: run this once more when it ends.")
            return
        if options["verb"] == "agreed":
            for erasure, refusal in agreed.carry_out_all(actor=actor):
                self.stdout.write(f"{erasure.mark}: {refusal or f'erased in {erasure.cases} cases.'}")
            return
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']}.")
        name = options["customer"] or options["requester"]
        person = erasing.Person(organization, name, customer=bool(options["customer"]))
        try:
            cases = erasing.erase(person, actor=actor, reason=options["reason"])
        except DomainError as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"Erased in {cases} cases; {person.mark} stands for them from now on.")
        self.stdout.write(f"It is noted in {marks.place()}: keep that file apart from backups of the database.")
