"""Where the navigation leads, each place with the permission its view declares: for tests of the shell alone."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, include, path

from accounts.roles import Permission


def _view(permission: Any) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    view.permission = permission  # type: ignore[attr-defined]
    return view


def _app(name: str, **views: Any) -> URLResolver:
    routes = [path(f"{name}/{view}/", _view(permission), name=view) for view, permission in views.items()]
    return path("", include((routes, name)))


_DESK = Permission.SEE_DESK
urlpatterns = [
    path("", _view("signed in"), name="home"),
    path("search/", _view(_DESK), name="search"),
    path("stalled/", _view(_DESK), name="stalled"),
    path("reversals/", _view(_DESK), name="reversals"),
    path("cases/", _view(_DESK), name="cases"),
    path("views/", _view(_DESK), name="saved_views"),
    path("views/counts/", _view(_DESK), name="view_counts"),
    path("exports/", _view(Permission.EXPORT), name="exports"),
    _app("accounts", sign_in="public", sign_out="signed in", sessions="signed in"),
    _app(
        "approvals",
        queue=_DESK,
        case=_DESK,
        leaving=Permission.MANAGE,
        escalations=Permission.MANAGE,
        coaching=Permission.MANAGE,
        second_opinions=Permission.DECIDE,
        time_off=Permission.DECIDE,
        thresholds=Permission.CONFIGURE,
    ),
    _app("workflows", alerts=_DESK, requests=Permission.ASK, runs=_DESK, triggers=_DESK, failures=Permission.REPAIR),
    _app(
        "integrations",
        connections=Permission.CONNECT,
        switches=_DESK,
        reconciliations=_DESK,
        recovery=_DESK,
        notices=_DESK,
        channels=Permission.CONNECT,
    ),
    _app("auditlog", entries=Permission.READ_AUDIT),
    path("admin/", admin.site.urls),
]
