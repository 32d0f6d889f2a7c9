"""The two doors of the web process: the desk, and intake without the desk's middleware.

Webhooks carry no session and no cookie; sending them through a dozen middlewares costs half the rate.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, cast

from csp.constants import HEADER
from csp.utils import build_policy
from django import setup
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsdesk.settings")
INTAKE_PREFIX = "/hooks/"


class IntakeHandler(WSGIHandler):
    """Django's handler with an empty middleware chain."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Let requests go straight to their view; there is no state to set up for them."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._inner = convert_exception_to_response(self._answer)
        self._middleware_chain = self._sealed
        self._headers = {
            HEADER: build_policy(),
            "Cache-Control": "no-store",
            "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": settings.X_FRAME_OPTIONS,
        }

    def _sealed(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, or the page that says what went wrong, with the headers that middleware gives all others."""
        response = cast(HttpResponseBase, self._inner(request))
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        """The view's answer with its length, which Django leaves to a middleware; without it the body is chunked."""
        response: HttpResponseBase = self._get_response(request)  # type: ignore[attr-defined]
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


setup(set_prefix=False)
_desk = get_wsgi_application()
_intake = IntakeHandler()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Send `/hooks/…` through the short way and everything else through the whole desk."""
    handler = _intake if environ.get("PATH_INFO", "").startswith(INTAKE_PREFIX) else _desk
    return handler(environ, start_response)
