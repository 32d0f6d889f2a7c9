"""manage.py rotate_keys: every stored secret under the newest of OPSDESK_FIELD_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import factors
from integrations.renewing import renew_all


class Command(BaseCommand):
    """Stores what is encrypted under older keys under the first of OPSDESK_FIELD_KEYS; then the others can go."""

    help = "Store every secret under the first of OPSDESK_FIELD_KEYS, so that older keys can be taken away."

    def handle(self, *args: Any, **options: Any) -> None:
        """Renew all; a secret that no key opens is named and fails the command."""
        renewal = renew_all()
        done, closed = factors.renew_secrets()
        renewal.done += done
        renewal.closed += closed
        self.stdout.write(f"{renewal.done} secrets were stored under the newest key.")
        if renewal.closed:
            raise CommandError(
                f"No key opens {len(renewal.closed)} more: {'; '.join(renewal.closed[:20])}. "
                "Bring back the key they were stored under, or enter them anew; take no key away until then."
            )
        self.stdout.write("All stored secrets are under it: the older keys can go.")
