"""`manage.py doctor`: what is wrong with the desk, and what to do."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from opsdesk.watch.doctor.examine import examine
from opsdesk.watch.doctor.opinions import Verdict


class Command(BaseCommand):
    """Exit 0 when nothing is wrong, 1 when something is."""

    help = "Say in sentences what is wrong with the desk and what to do. Exit 0 when nothing is wrong."
    requires_system_checks: list[str] = []  # they would end it before it could say what is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one document for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, say, and end with what it means."""
        found = list(examine())
        sick = any(opinion.verdict is Verdict.WRONG for _, opinion in found)
        if options["json"]:
            opinions = [
                {"about": name, "verdict": each.verdict, "words": each.words, "advice": each.advice}
                for name, each in found
            ]
            self.stdout.write(json.dumps({"well": not sick, "opinions": opinions}, indent=2, ensure_ascii=False))
        else:
            for name, each in found:
                self.stdout.write(f"{each.verdict:<6} {name:<14} {each.words}")
                if each.advice:
                    self.stdout.write(f"{'':21} {each.advice}")
            self.stdout.write("Something is wrong; the lines above say what to do." if sick else "Nothing is wrong.")
        if sick:
            sys.exit(1)
