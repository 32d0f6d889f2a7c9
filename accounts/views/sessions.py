"""Where one is signed in, and ending that."""

from django.contrib import messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts import identities, sessions, signing_in
from accounts.access import before_factor, signed_in
from accounts.models import limits_for
from opsdesk.lib.requests import OpsRequest


@require_GET
@before_factor
@signed_in
def index(request: OpsRequest) -> HttpResponse:
    """Every browser in which this account could go on working."""
    idle, longest = limits_for(request.membership)
    rows = sessions.Session.objects.filter(user_id=request.user.pk).alive(idle=idle, longest=longest)
    here = sessions.handle_of(request.session.session_key)
    items = [{"session": row, "here": row.handle == here} for row in rows.order_by("-seen_at")[:100]]
    context = {"items": items, "idle": idle, "longest": longest}
    context |= {"provider": identities.provider_name(), "connected": identities.signs_in_by_provider(request.user)}
    return render(request, "accounts/sessions_page.html", context)


@require_POST
@before_factor
@signed_in
@transaction.atomic
def end(request: OpsRequest) -> HttpResponse:
    """End one session, all others, or all: what is not said means all."""
    wanted, key = request.POST.get("which", "all"), request.session.session_key
    here = sessions.handle_of(key)
    if wanted == "others":
        ended = sessions.end(of_user=request.user.pk, but=key)
    elif wanted == "all":
        ended = sessions.end(of_user=request.user.pk)
    else:
        ended = sessions.end(of_user=request.user.pk, handles={wanted})
    if ended:
        signing_in.tell(request.user, "accounts.user.sessions_ended", reason=f"Ended {ended} of their own sessions.")
    if wanted in ("all", here):
        logout(request)
        return redirect("accounts:sign_in")
    if ended:
        messages.success(request, "That session is over." if wanted != "others" else "All other sessions are over.")
    else:
        messages.info(request, "There was nothing left to end.")
    return redirect("accounts:sessions")
