"""What is shown when something went wrong. These pages ask nothing of the database.

Programs are answered in problem+json, also where no operation was reached.
"""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

from opsdesk.api.problems import PREFIX, problem

RETRY_AFTER_SECONDS = 5

permission_denied = defaults.permission_denied


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: nothing that could be read."""
    if request.path.startswith(PREFIX):
        return problem(400, "The call cannot be read, or is too large.")
    return defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: there is no such address, or no such row for this visitor."""
    if request.path.startswith(PREFIX):
        return problem(404, "There is no such operation. /api/openapi.json lists them.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; or 503 with Retry-After while the database cannot be reached, so that callers come again."""
    away = isinstance(sys.exception(), OperationalError | InterfaceError)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if away else {}
    if request.path.startswith(PREFIX):
        words = (
            "The database is away for a moment: come again."
            if away
            else "It has been noted. See what became of the call before you send it again."
        )
        return problem(503 if away else 500, words, headers=headers)
    if away:
        return HttpResponse(loader.get_template("503.html").render(), status=503, headers=headers)
    return defaults.server_error(request)
