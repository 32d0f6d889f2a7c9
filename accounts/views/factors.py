"""One's own second factors: an authenticator app, passkeys, recovery codes. Every change asks first who one is."""

import json

from allauth.mfa.adapter import get_adapter
from allauth.mfa.totp.internal.auth import clear_totp_secret, get_totp_secret
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import confirming, factors, signing_in
from accounts.access import before_factor, signed_in
from opsdesk.lib.requests import OpsRequest

_KINDS = {"totp": "Authenticator app", "webauthn": "Passkey"}


@require_GET
@before_factor
@signed_in
def index(request: OpsRequest) -> HttpResponse:
    """What the account has, and what it could have."""
    mine = factors.of(request.user)
    items = [{"factor": row, "kind": _KINDS[row.type], "name": row.data.get("name", "")} for row in mine]
    needed = bool(request.membership and request.membership.needs_factor)
    context = {
        "items": items,
        "has_app": any(row.type == "totp" for row in mine),
        "codes_left": factors.recovery_codes_left(request.user),
        "needed": needed,
        "again": needed and bool(mine) and not request.session.get(signing_in.BY_FACTOR),
        "passkeys_work": factors.passkeys_work(request),
    }
    return render(request, "accounts/factors_page.html", context)


@require_http_methods(["GET", "POST"])
@before_factor
@signed_in
def add_app(request: OpsRequest) -> HttpResponse:
    """Show the secret to an authenticator app, and keep it once the app has shown its first code."""
    if request.method == "POST":
        asked = confirming.asked_first(request, what="set up an authenticator app")
        if asked is not None:
            return asked
        if factors.add_app(request.user, get_totp_secret(), request.POST.get("code", "")):
            clear_totp_secret(request)
            return _added(request, "The authenticator app is set up.")
    secret = get_totp_secret()
    context = {
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "wrong": request.method == "POST",
    }
    return render(request, "accounts/add_app_page.html", context, status=422 if context["wrong"] else 200)


@require_GET
@before_factor
@signed_in
def app_picture(request: OpsRequest) -> HttpResponse:
    """The picture that an app reads the secret from, while it is being set up in this session."""
    adapter = get_adapter()
    picture = adapter.build_totp_svg(adapter.build_totp_url(request.user, get_totp_secret()))
    return HttpResponse(picture, content_type="image/svg+xml")


@require_http_methods(["GET", "POST"])
@before_factor
@signed_in
def add_passkey(request: OpsRequest) -> HttpResponse:
    """Have the browser make a passkey, and keep it."""
    if "begin" in request.POST:
        # Before the key is made: it cannot wait on another page, because its challenge is answered once.
        return confirming.asked_first(request, what="add a passkey") or redirect("accounts:add_passkey")
    if not confirming.is_fresh(request):
        return render(request, "accounts/add_passkey_page.html", {"options": None})
    name, answer = request.POST.get("name", ""), request.POST.get("passkey", "")
    if request.method == "POST" and factors.add_passkey(request.user, name, answer):
        return _added(request, "The passkey is kept.")
    options = factors.new_passkey_options(request.user)
    context = {"options": json.dumps(options), "wrong": request.method == "POST"}
    return render(request, "accounts/add_passkey_page.html", context, status=422 if context["wrong"] else 200)


def _added(request: OpsRequest, said: str) -> HttpResponse:
    """The way on from a new factor: to recovery codes, when there are none yet."""
    signing_in.note_confirmed(request, by_factor=True)
    messages.success(request, said)
    if factors.recovery_codes_left(request.user):
        return redirect("accounts:factors")
    return _codes(request)


@require_POST
@before_factor
@signed_in
def new_codes(request: OpsRequest) -> HttpResponse:
    """Ten new recovery codes, shown this once."""
    asked = confirming.asked_first(request, what="make new recovery codes")
    if asked is not None:
        return asked
    if not factors.has_any(request.user):
        messages.warning(request, "Set up an app or a passkey first.")
        return redirect("accounts:factors")
    return _codes(request)


def _codes(request: OpsRequest) -> HttpResponse:
    return render(request, "accounts/codes_page.html", {"codes": factors.new_recovery_codes(request.user)})


@require_POST
@before_factor
@signed_in
def remove(request: OpsRequest) -> HttpResponse:
    """Take one factor away; the last one stays where the role asks for one."""
    asked = confirming.asked_first(request, what="remove a second factor")
    if asked is not None:
        return asked
    named = request.POST.get("factor", "")
    key = int(named) if named.isascii() and named.isdigit() and len(named) < 10 else 0
    if request.membership and request.membership.needs_factor and len(factors.of(request.user)) == 1:
        messages.warning(request, "Your role asks for a second factor: add another one first.")
    elif factors.remove(request.user, key):
        messages.success(request, "It is removed.")
    else:
        messages.warning(request, "There is no such second factor.")
    return redirect("accounts:factors")
