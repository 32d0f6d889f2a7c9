"""Who is asking, in which organization: read fresh for every request."""

import uuid
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts import sessions, signing_in, veils
from accounts.models import Membership, limits_for

ORGANIZATION_KEY = "organization"


class NeverStored:
    """Keep every answer out of caches that does not say otherwise, also those of other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class DeskMiddleware:
    """Attach `request.membership` and `request.request_id`; answer htmx after a sign-out with 401."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        bound = structlog.contextvars.get_contextvars().get("request_id")
        request.request_id = str(bound or uuid.uuid4())  # type: ignore[attr-defined]
        request.membership = None  # type: ignore[attr-defined]
        if request.user.is_authenticated:
            self._attach(request)
            self._end_or_touch(request)
        response = self.get_response(request)
        if request.headers.get("HX-Request") and response.status_code == 302 and not request.user.is_authenticated:
            # htmx would swap the sign-in form into the page; the script reloads on 401 instead.
            response = HttpResponse("Please sign in again.", status=401)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Lead whoever has to set up a second factor to where that is done; nothing else opens before."""
        membership: Membership | None = request.membership  # type: ignore[attr-defined]
        if membership is None or not membership.needs_factor or request.session.get(signing_in.BY_FACTOR):
            return None
        if getattr(view, "permission", "") == "public" or getattr(view, "before_factor", False):
            return None
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("accounts:factors")})
        return redirect("accounts:factors")

    def _end_or_touch(self, request: HttpRequest) -> None:
        """Sign out whoever was away for too long, or signed in too long ago; a page's own requests prove nobody."""
        row: sessions.Session | None = getattr(request.session, "row", None)
        if row is None:
            return
        idle, longest = limits_for(request.membership)  # type: ignore[attr-defined]
        if sessions.is_over(row, idle=idle, longest=longest):
            logout(request)
            request.membership = None  # type: ignore[attr-defined]
            timezone.deactivate()
        elif sessions.UNATTENDED not in request.headers:
            sessions.touch(row)

    def _attach(self, request: HttpRequest) -> None:
        mine = Membership.objects.active().filter(user_id=request.user.pk or 0).select_related("organization")
        chosen = request.session.get(ORGANIZATION_KEY)
        rows = sorted(veils.with_veil(mine), key=lambda row: (row.organization_id != chosen, row.pk))
        if rows:
            request.membership = rows[0]  # type: ignore[attr-defined]
            request.membership.user = request.user  # type: ignore[attr-defined]
            timezone.activate(ZoneInfo(rows[0].organization.time_zone))
        else:
            timezone.deactivate()
