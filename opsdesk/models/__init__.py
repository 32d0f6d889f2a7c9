"""What the desk keeps beside the work itself: its processes, how people look at lists, and what they take away."""

from opsdesk.models.backups import Backup
from opsdesk.models.exports import Export, ExportPart
from opsdesk.models.lists import ListLook, SavedView
from opsdesk.models.processes import (
    DrillResult,
    Heartbeat,
    HeartbeatKind,
    HeartbeatQuerySet,
    Refusals,
    ReversalDrill,
)

__all__ = [
    "Backup",
    "DrillResult",
    "Export",
    "ExportPart",
    "Heartbeat",
    "HeartbeatKind",
    "HeartbeatQuerySet",
    "ListLook",
    "Refusals",
    "ReversalDrill",
    "SavedView",
]
