"""A check of who knocks at the door: one guess each on many accounts stays below every count of its own."""

from collections.abc import Iterator

from accounts import guessing
from opsdesk.watch.findings import Finding, Moment


def sprayed(moment: Moment) -> Iterator[Finding]:
    """That many accounts are tried in vain, whoever tries from wherever."""
    accounts = guessing.sprayed()
    if accounts:
        yield Finding(
            "sign-in",
            f"Somebody tried to sign in to {accounts} accounts in vain within {guessing.WAIT.total_seconds() / 60:.0f} "
            "minutes. It looks like common passwords tried on everybody: ask for a second factor from all roles, and "
            "look in the proxy's log where it comes from.",
        )
