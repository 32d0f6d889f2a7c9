"""The time of the desk: UTC, asked in one place so that tests can move it."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return timezone.now()
