"""Channels of chat: those of teams, and a test of any."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations.chat import keeping, known
from integrations.models import ChatChannel, Notice
from integrations.notices.forms import SharedChannelForm
from integrations.notices.kinds import TEST, notice_kinds
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest


@dataclass(frozen=True, slots=True)
class Row:
    """A channel, the kinds it is sent in words, and what became of its last test."""

    channel: ChatChannel
    kinds: str
    test: Notice | None


def rows_of(channels: QuerySet[ChatChannel]) -> Sequence[Row]:
    """Channels as the pages show them, in two statements."""
    last = Notice.objects.filter(chat=OuterRef("pk"), topic__startswith=f"{TEST}:").order_by("-pk").values("pk")[:1]
    found = list(channels.select_related("team").annotate(last_test=Subquery(last)))
    tests = Notice.objects.in_bulk([each.last_test for each in found if each.last_test])
    labels = {kind.key: kind.label for kind in notice_kinds()}
    return [
        Row(each, ", ".join(labels[kind] for kind in each.kinds if kind in labels), tests.get(each.last_test or 0))
        for each in found
    ]


@require_GET
@requires(Permission.CONNECT)
def index(request: OpsRequest) -> HttpResponse:
    """The channels of teams and of everybody, and the form for one more."""
    return _page(request, SharedChannelForm(member=request.membership))


def _page(request: OpsRequest, form: SharedChannelForm, *, refusal: str = "", status: int = 200) -> HttpResponse:
    shared = ChatChannel.objects.shared_in(request.membership).in_use()
    examples = {service.label: service.example for service in known.SERVICES.values() if service.encrypted}
    context = {"form": form, "channels": rows_of(shared), "refusal": refusal, "examples": examples.items()}
    return render(request, "integrations/channel_list.html", context, status=status)


@require_POST
@requires(Permission.CONNECT)
def add_shared(request: OpsRequest) -> HttpResponse:
    """Add a channel of a team or of everybody."""
    form = SharedChannelForm(request.POST, member=request.membership)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        channel = keeping.add_shared(request.membership, **form.cleaned_data)
    except DomainError as refused:
        return _page(request, form, refusal=str(refused), status=409)
    messages.success(request, f"{channel} was added. Send a test to see whether messages arrive.")
    return redirect("integrations:channels")


@require_POST
@requires(Permission.SEE_DESK)
def test(request: OpsRequest, pk: int) -> HttpResponse:
    """Send a test; what became of it stands beside the channel."""
    try:
        notice = keeping.send_test(pk, by=request.membership)
    except ChatChannel.DoesNotExist as gone:
        raise Http404("There is no such channel.") from gone
    messages.success(request, "A test is on its way. What became of it stands beside the channel in a moment.")
    return _back(notice.recipient_id is not None)


@require_POST
@requires(Permission.SEE_DESK)
def remove(request: OpsRequest, pk: int) -> HttpResponse:
    """Take a channel away."""
    try:
        channel = keeping.remove(pk, by=request.membership)
    except ChatChannel.DoesNotExist as gone:
        raise Http404("There is no such channel.") from gone
    messages.success(request, f"{channel} was taken away, and its address is forgotten.")
    return _back(channel.person_id is not None)


def _back(own: bool) -> HttpResponse:
    return redirect("integrations:notice_settings" if own else "integrations:channels")
