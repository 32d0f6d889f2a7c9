"""How a person wants to be told: which kinds come how, and the chat channels of their own."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations.chat import keeping
from integrations.models import ChatChannel
from integrations.notices import choosing
from integrations.notices.forms import ChannelForm, SettingsForm
from integrations.views.channels import rows_of
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """How one wants to be told, and over which channels of one's own."""
    row = choosing.settings_of(request.membership)
    if request.method != "POST":
        return _page(request, SettingsForm(row=row), ChannelForm())
    form = SettingsForm(request.POST, row=row)
    if not form.is_valid():
        return _page(request, form, ChannelForm(), status=422)
    choosing.choose(request.membership, **form.chosen())
    messages.success(request, "Saved. What is written from now on comes so.")
    return redirect("integrations:notice_settings")


def _page(
    request: OpsRequest, form: SettingsForm, channel_form: ChannelForm, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    """The page with its two forms."""
    mine = ChatChannel.objects.own_of(request.membership).in_use()
    context = {"form": form, "channel_form": channel_form, "channels": rows_of(mine), "refusal": refusal}
    return render(request, "integrations/notice_settings.html", context, status=status)


@require_POST
@requires(Permission.SEE_DESK)
def add_own(request: OpsRequest) -> HttpResponse:
    """Add a channel of one's own."""
    form, rules = ChannelForm(request.POST), SettingsForm(row=choosing.settings_of(request.membership))
    if not form.is_valid():
        return _page(request, rules, form, status=422)
    try:
        channel = keeping.add_own(request.membership, **form.cleaned_data)
    except DomainError as refused:
        return _page(request, rules, form, refusal=str(refused), status=409)
    messages.success(request, f"{channel} was added. Send a test to see whether messages arrive.")
    return redirect("integrations:notice_settings")
