"""Refusals as problem+json (RFC 9457): what was refused, and what to do."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from opsdesk.lib.errors import DomainError

TITLES = {
    400: "That cannot be read",
    401: "No token that is in force",
    403: "Not allowed",
    404: "Not there",
    405: "Not this method",
    409: "Refused",
    422: "Something is missing or wrong",
    429: "Too many calls",
    500: "Something broke here",
    503: "Not now",
}
PREFIX = "/api/v1/"


class Refused(Exception):
    """A refusal with its status, words and further fields."""

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> HttpResponse:
    """One problem document."""
    content = {
        "type": "about:blank",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": detail,
        **more,
    }
    return JsonResponse(content, status=status, headers=headers, content_type="application/problem+json")


def install(api: NinjaAPI) -> None:
    """Have every refusal answered so."""

    @api.exception_handler(AuthenticationError)
    def unknown(request: HttpRequest, error: Any) -> HttpResponse:
        detail = "Send the header “Authorization: Bearer desk_…” with a token that is neither revoked nor expired."
        return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})

    @api.exception_handler(PermissionDenied)
    def denied(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(403, str(error) or "The account's role does not allow it.")

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(404, "There is no such thing in the token's organization.")

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: Any) -> HttpResponse:
        fields = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors]
        return problem(422, "Correct the named fields and send it again.", errors=fields)

    @api.exception_handler(DomainError)
    def refused(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(409, str(error))

    @api.exception_handler(Refused)
    def told(request: HttpRequest, error: Any) -> HttpResponse:
        headers = {"Retry-After": "60"} if error.status == 429 else None
        return problem(error.status, error.detail, headers=headers, **error.more)

    @api.exception_handler(HttpError)
    def unreadable(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(error.status_code, str(error))
