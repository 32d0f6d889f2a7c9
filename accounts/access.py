"""Declaring what a view needs. A view that declares nothing is closed, and the start says so."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.roles import Permission
from opsdesk.lib.requests import OpsRequest

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
# Views of packages that guard themselves: prefix of their module.
SELF_GUARDED = ("django.contrib.admin", "django.contrib.auth.views", "django_rq")


def requires(permission: Permission) -> Callable[[View], View]:
    """Let only members whose role carries `permission` in; everybody else gets 403."""

    def declare(view: View) -> View:
        @wraps(view)
        def guarded(request: OpsRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            membership = getattr(request, "membership", None)
            if membership is None or not membership.may(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return declare


def public(view: View) -> View:
    """Open to everybody, signed in or not: the view says why in its docstring."""
    view.permission = "public"  # type: ignore[attr-defined]
    view.login_required = False  # type: ignore[attr-defined]
    return view


def signed_in(view: View) -> View:
    """Open to every signed-in person, member or not."""
    view.permission = "signed in"  # type: ignore[attr-defined]
    return view


def before_factor(view: View) -> View:
    """Open also to whoever still has to set up the second factor that their role asks for."""
    view.before_factor = True  # type: ignore[attr-defined]
    return view


def patterns(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every URL pattern of the project with its full route."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        else:
            yield route, entry


@register()
def every_view_declares_its_permission(**kwargs: Any) -> list[CheckMessage]:
    """The start-up check behind “closed unless declared”."""
    found: list[CheckMessage] = []
    for route, pattern in patterns():
        view = pattern.callback
        module = getattr(getattr(view, "view_class", view), "__module__", "")
        guarded = module.startswith(SELF_GUARDED) or route.startswith("admin/")
        if not guarded and not hasattr(view, "permission"):
            found.append(Error(f"The view of /{route} declares no permission.", id="accounts.E001"))
    return found
