"""Showing again who one is, before what is dear: the form waits on a page that asks, and goes on from there.

The page is the answer to the form itself and sends it once more with a code, a passkey or the password. So nothing
is kept meanwhile, and it works without a script.
"""

from datetime import timedelta
from typing import cast

from axes.handlers.proxy import AxesProxyHandler
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import factors, guessing, identities, signing_in
from accounts.models import Organization, User
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest

ANSWERS = ("confirm_code", "confirm_password", "passkey")
_NOT_SENT_AGAIN = (*ANSWERS, "csrfmiddlewaretoken")


def is_fresh(request: OpsRequest) -> bool:
    """Whether that was lately enough for what is dear."""
    rules = request.membership.organization if request.membership else Organization()
    at = request.session.get(signing_in.CONFIRMED)
    return at is not None and clock.now().timestamp() - at < timedelta(minutes=rules.confirm_minutes).total_seconds()


def is_above(organization: Organization, amount: Money | None) -> bool:
    """Whether approving so much asks for it. Money of another currency than the organization's always does."""
    ceiling = organization.confirm_above_minor
    if ceiling is None or amount is None:
        return False
    return amount.currency != organization.currency or amount.minor > ceiling


def asked_first(request: OpsRequest, *, what: str) -> HttpResponse | None:
    """The page that asks, or None when whoever sends this form has shown who they are; `what` ends “Before you …”."""
    if is_fresh(request):
        return None
    if not any(request.POST.get(name) for name in ANSWERS):
        return _page(request, what)
    with transaction.atomic():
        refused = check(request, request.user)
        if refused is not None:
            return refused if refused.status_code == 429 else _page(request, what, wrong=True)
    signing_in.note_confirmed(request, by_factor=factors.has_any(request.user))
    return None


def before_policy(request: HttpRequest, *, what: str) -> HttpResponse | None:
    """The same before rules or thresholds are put in force, where the organization asks for it at all."""
    membership = getattr(request, "membership", None)
    if membership is None or membership.organization.confirm_above_minor is None:
        return None
    return asked_first(cast(OpsRequest, request), what=what)


def check(request: HttpRequest, user: User) -> HttpResponse | None:
    """Whether this form shows that it is `user`; None, or the refusal. Tries are counted, inside a transaction."""
    if request.POST.get("passkey"):
        return None if factors.use_passkey(request, request.POST["passkey"], user) else HttpResponse(status=403)
    counted = {"username": f"second step of {user.pk}"}
    if not guessing.has_turn(request, counted["username"]) or not AxesProxyHandler.is_allowed(request, counted):
        return guessing.refused(request)
    if factors.has_any(user):
        right = bool(factors.use_code(user, request.POST.get("confirm_code", "")))
    else:
        right = user.check_password(request.POST.get("confirm_password", ""))
    if right:
        guessing.forgive(request, counted["username"])
        return None
    AxesProxyHandler.user_login_failed(confirming_failed, credentials=counted, request=request)
    return HttpResponse(status=403)


def confirming_failed() -> None:
    """Names the sender of a failed try, as django-axes wants it."""


def _page(request: OpsRequest, what: str, *, wrong: bool = False) -> HttpResponse:
    again = [(name, value) for name, values in request.POST.lists() if name not in _NOT_SENT_AGAIN for value in values]
    context = {
        "what": what,
        "again": again,
        "wrong": wrong,
        "by_factor": factors.has_any(request.user),
        "by_password": request.user.has_usable_password(),
        "provider": identities.provider_name() if identities.signs_in_by_provider(request.user) else "",
        "by_passkey": factors.has_passkey(request.user) and factors.passkeys_work(request),
        "minutes": request.membership.organization.confirm_minutes if request.membership else 15,
    }
    page = render(request, "accounts/confirm_page.html", context, status=422)
    # Where htmx sent the form, the page takes the place of the whole one, and is a plain form from there on.
    page.headers["HX-Retarget"], page.headers["HX-Reswap"] = "body", "innerHTML show:window:top"
    return page
