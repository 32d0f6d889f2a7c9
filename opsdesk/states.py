"""The state machine of an export. Read the table as “from this state you may go to any of these”."""

from collections.abc import Mapping

from django.db import models


class ExportState(models.TextChoices):
    RUNNING = "running", "Being written"
    DONE = "done", "Ready"
    FAILED = "failed", "Given up"
    EXPIRED = "expired", "Removed"


# A file is removed after its time, or earlier by its owner, also while it is written.
EXPORT_MOVES: Mapping[str, frozenset[str]] = {
    ExportState.RUNNING: frozenset({ExportState.DONE, ExportState.FAILED, ExportState.EXPIRED}),
    ExportState.DONE: frozenset({ExportState.EXPIRED}),
    ExportState.FAILED: frozenset({ExportState.EXPIRED}),
    ExportState.EXPIRED: frozenset(),
}
