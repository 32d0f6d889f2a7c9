"""Who is asking, in which organization: read fresh for every request."""

import uuid
from collections.abc import Callable
from zoneinfo import ZoneInfo

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import Membership

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
        response = self.get_response(request)
        if request.headers.get("HX-Request") and response.status_code == 302 and not request.user.is_authenticated:
            # htmx would swap the sign-in form into the page; the script reloads on 401 instead.
            response = HttpResponse("Please sign in again.", status=401)
        return response

    def _attach(self, request: HttpRequest) -> None:
        mine = Membership.objects.active().filter(user_id=request.user.pk or 0).select_related("organization")
        chosen = request.session.get(ORGANIZATION_KEY)
        rows = sorted(mine, key=lambda row: (row.organization_id != chosen, row.pk))
        if rows:
            request.membership = rows[0]  # type: ignore[attr-defined]
            request.membership.user = request.user  # type: ignore[attr-defined]
            timezone.activate(ZoneInfo(rows[0].organization.time_zone))
        else:
            timezone.deactivate()
