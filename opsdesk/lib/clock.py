"""The time of the desk: UTC, asked in one place so that tests can move it."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return timezone.now()


def of_database() -> datetime:
    """The database's clock, in UTC: the one that several hosts share, and that decides how long something is held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
