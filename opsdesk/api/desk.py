"""The API itself: who calls, what every operation must declare, and its addresses."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern
from django.utils import timezone
from ninja import NinjaAPI
from ninja.parser import Parser
from ninja.security import HttpBearer

from accounts import tokens
from accounts.models import Membership, User
from accounts.tokens import ApiToken, Scope
from integrations.strictjson import read_object
from opsdesk.api import problems


class Caller(HttpRequest):
    """A request of a program: `auth` is its token; a session's cookie counts for nothing here."""

    auth: ApiToken
    user: User
    membership: Membership


class Bearer(HttpBearer):
    """The token in the header."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        found = tokens.known(token)
        if found is None:
            return None
        if not tokens.is_within_rate(found):
            raise problems.Refused(429, "Wait for the next minute; each token has so many calls a minute.")
        request.user, request.membership = found.membership.user, found.membership  # type: ignore[attr-defined]
        # What the database sees changing says whose token it was, as it says who is signed in.
        structlog.contextvars.bind_contextvars(user_id=found.membership.user_id, token=found.pk)
        timezone.deactivate()
        return found


class Strict(Parser):
    """Bodies are read as those of webhooks are: one meaning for every reader, and nothing the database cannot keep."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        return read_object(request.body)


api = NinjaAPI(
    title="opsdesk",
    version="1",
    description="Everything here goes through the same services, rights and records as the desk's own pages.",
    auth=Bearer(),
    parser=Strict(),
    docs_url=None,
    openapi_url=None,
    urls_namespace="api",
)
problems.install(api)


def needs(scope: Scope) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare what an operation needs; without the declaration the desk does not start."""

    def declare(operation: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(operation)
        def guarded(request: Caller, *args: Any, **kwargs: Any) -> Any:
            if not request.auth.lets(scope):
                raise PermissionDenied(f"It needs a token with the scope {scope.value}, of an account that may do it.")
            return operation(request, *args, **kwargs)

        guarded.scope = scope  # type: ignore[attr-defined]
        return guarded

    return declare


def operations() -> list[tuple[str, str, Any]]:
    """Every operation: method, path and function."""
    found = []
    for _, router in api._routers:
        for path, view in router.path_operations.items():
            for each in view.operations:
                found += [(method, path, each.view_func) for method in each.methods]
    return found


@register()
def every_operation_declares_its_scope(**kwargs: Any) -> list[CheckMessage]:
    """The start-up check behind “closed unless declared”."""
    return [
        Error(f"The operation {method} {path} declares no scope.", id="opsdesk.E010")
        for method, path, operation in operations()
        if not hasattr(operation, "scope")
    ]


def urls() -> tuple[list[Any], str, str]:
    """The addresses, marked as what they are: open to tokens alone, so neither session nor form token is asked."""
    patterns, app, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            pattern.callback = _refusing_in_words(pattern.callback)
            pattern.callback.permission = "token"  # type: ignore[attr-defined]
            pattern.callback.login_required = False  # type: ignore[attr-defined]
    # Ninja's own root only says that it is there.
    kept = [pattern for pattern in patterns if not (isinstance(pattern, URLPattern) and pattern.name == "api-root")]
    return kept, app, namespace


def _refusing_in_words(view: Callable[..., Any]) -> Callable[..., Any]:
    """Ninja answers a method that an address does not know by itself, in its own way."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = view(request, *args, **kwargs)
        if response.status_code == 405:
            methods = ", ".join(sorted(response.headers["Allow"].split(", ")))
            return problems.problem(405, f"This address knows {methods}.", headers={"Allow": methods})
        return response

    return answered
