"""What the numbers beside the navigation count.

Each key of `COUNTERS` is the `counter` of a navigation entry; its function gives the rows as this member
may see them, unsliced. All are counted in one statement, and only up to a cap, so that a long queue costs
no more than a short one.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from accounts.models import Membership

Rows = Callable[[Membership], QuerySet[Any]]

COUNTERS: dict[str, Rows] = {}
