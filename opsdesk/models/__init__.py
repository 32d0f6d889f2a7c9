"""What the desk keeps beside the work itself: its processes, views of lists and files of them, people erased."""

from opsdesk.models.backups import Backup
from opsdesk.models.erasures import PersonErasure
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
    "PersonErasure",
    "Refusals",
    "ReversalDrill",
    "SavedView",
]
