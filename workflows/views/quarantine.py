"""Events that could not be understood: kept byte for byte, shown so that nothing in them can pose as anything else."""

from django.db.models import BinaryField, F, Func, IntegerField, Value
from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.htmx import render_page
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from opsdesk.lib.wording import visible
from workflows.models import Event
from workflows.states import EventState
from workflows.views.failures import tabs

PREVIEW_BYTES = 2048
SHOWN = 25


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """Quarantined events, newest first, each with its reason and the beginning of its body."""
    events = (
        Event.objects.visible_to(request.membership)
        .filter(state=EventState.QUARANTINED)
        .defer("body")
        .annotate(
            beginning=Func(F("body"), Value(1), Value(PREVIEW_BYTES), function="substring", output_field=BinaryField()),
            size=Func(F("body"), function="octet_length", output_field=IntegerField()),
        )
    )
    page = newest_first(events, request, size=SHOWN)
    for event in page.rows:
        event.preview = preview(bytes(event.beginning))
    context = {"page": page, "views": tabs("quarantine"), "preview_bytes": PREVIEW_BYTES}
    return render_page(request, "workflows/quarantine_list.html", "workflows/_quarantine_rows.html", context)


def preview(body: bytes) -> str:
    """Bytes as text without any unseen character: what is no UTF-8 is written as \\xNN, controls as [U+NNNN]."""
    text = body.decode("utf-8", errors="backslashreplace")
    return visible(text, at_most=len(text))
