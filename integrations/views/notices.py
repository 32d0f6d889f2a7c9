"""A person's notices: what they were told, and how each went out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.db.models.functions import Now
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from integrations.models import Notice
from integrations.notices import lost
from integrations.states import NoticeState
from opsdesk.lib.errors import IllegalMove
from opsdesk.lib.requests import OpsRequest

SHOWN = 50
LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Told:
    """One notice as its reader sees it, with every way it went besides the app."""

    notice: Notice
    ways: Sequence[Notice]

    @property
    def lost(self) -> bool:
        """Whether every other way was given up."""
        return bool(self.ways) and all(each.state == NoticeState.FAILED for each in self.ways)


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """What one was told, the newest first. Looking marks nothing as read."""
    before = _number(request.GET.get("before", "")) or LARGEST_KEY
    rows = list(Notice.objects.told_to(request.membership).filter(pk__lt=before)[: SHOWN + 1])
    told = _with_ways(request.membership, rows[:SHOWN])
    context = {
        "told": told,
        "newest": rows[0].pk if rows else None,
        "unread": sum(each.notice.read_at is None for each in told),
        "lost": sum(each.lost for each in told),
        "older": rows[SHOWN - 1].pk if len(rows) > SHOWN else None,
    }
    return render(request, "integrations/notice_list.html", context)


def _with_ways(member: Membership, rows: Sequence[Notice]) -> list[Told]:
    ways: dict[str, list[Notice]] = defaultdict(list)
    topics = [row.topic for row in rows]
    outward = Notice.objects.visible_to(member).outward().filter(topic__in=topics, recipient_id=member.user_id)
    for row in outward.select_related("chat").order_by("pk"):
        ways[row.topic].append(row)
    return [Told(row, ways[row.topic]) for row in rows]


@require_POST
@requires(Permission.SEE_DESK)
def read(request: OpsRequest) -> HttpResponse:
    """Mark as read what was on the page and everything older."""
    until = _number(request.POST.get("until", ""))
    if until is None:
        raise Http404("Until which notice is not said.")
    mine = Notice.objects.told_to(request.membership).filter(pk__lte=until, read_at=None)
    marked = mine.update(read_at=Now())
    messages.success(request, f"{marked} marked as read.")
    return redirect("integrations:notices")


@require_POST
@requires(Permission.MANAGE)
def send_again(request: OpsRequest, pk: int) -> HttpResponse:
    """Queue a notice that was given up once more."""
    try:
        notice = lost.send_again(pk, by=request.membership)
    except Notice.DoesNotExist as gone:
        raise Http404("There is no such notice.") from gone
    except IllegalMove:
        messages.error(request, "It was not given up: it is on its way, or has arrived.")
    else:
        messages.success(request, f"It is sent to {notice.whom} again.")
    return redirect("stalled")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
