"""What belongs to lists: views that were saved, and exports."""

from datetime import timedelta
from itertools import count
from typing import Any

from accounts.models import Organization, User
from opsdesk.lib import clock
from opsdesk.models import Export, SavedView
from opsdesk.states import ExportState

_numbers = count(1)


def make_view(organization: Organization, owner: User, **fields: Any) -> SavedView:
    """The late cases of the queue, under a name that the organization shares."""
    fields = {"page": "queue", "name": f"Late {next(_numbers)}", "query": "view=late", "shared": True, **fields}
    return SavedView.objects.create(organization=organization, owner=owner, **fields)


def make_export(organization: Organization, by: User, **fields: Any) -> Export:
    """An export of all cases whose file is there, though empty."""
    now = clock.now()
    fields = {"page": "cases", "columns": ["case", "amount"], "with_mark": True, "total": 0, **fields}
    fields = {"state": ExportState.DONE, "ended_at": now, "expires_at": now + timedelta(hours=24), **fields}
    return Export.objects.create(organization=organization, by=by, **fields)
