"""`manage.py check_pack FILE`: what is wrong with a workflow pack, or what importing it would change."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from workflows.rehearsing import rehearse


class Command(BaseCommand):
    """Tries a pack in an organization and leaves nothing of it there; exit 0 only when it could be published."""

    help = "Say in sentences what keeps a workflow pack from running, or what importing it would change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="The pack, a YAML file.")
        parser.add_argument("--organization", default="", help="Its short name; not needed where there is one only.")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = _organization(options["organization"])
        try:
            text = options["file"].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        found = rehearse(organization, text)
        for change in found.changes:
            self.stdout.write(change.words)
            for words in change.differs:
                self.stdout.write(f"  {words}")
        if found.wrong:
            raise CommandError("\n".join(["It could not be published:", *(f"  {words}" for words in found.wrong)]))
        self.stdout.write(f"It could be published in {organization}. Nothing was imported.")


def _organization(slug: str) -> Organization:
    if slug:
        found = Organization.objects.filter(slug=slug).first()
        if found is None:
            raise CommandError(f"There is no organization “{slug}”.")
        return found
    try:
        return Organization.objects.get()
    except (Organization.DoesNotExist, Organization.MultipleObjectsReturned) as error:
        raise CommandError("Name the organization with --organization.") from error
