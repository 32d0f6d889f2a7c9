"""A page and its fragment from one view."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers, set_response_etag

from opsdesk.lib.requests import OpsRequest


def wants_fragment(request: OpsRequest) -> bool:
    """Whether htmx will swap the reply into the page instead of showing it whole."""
    htmx = request.htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render_page(
    request: OpsRequest, page: str, fragment: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the fragment for an htmx swap and the whole page for everything else.

    A fragment carries an ETag of its text, and a poll that shows the same already is answered by 304. So a fragment
    that is polled holds no form: its CSRF token would differ each time.
    """
    swapped = wants_fragment(request)
    response = render(request, fragment if swapped else page, context, status=status)
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    if swapped and request.method == "GET" and status == 200:
        set_response_etag(response)
        return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
    return response
