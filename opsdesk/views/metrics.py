"""/metrics: the desk's figures for Prometheus, for whoever may have them."""

import hmac
from ipaddress import ip_address

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from accounts.access import public
from opsdesk.watch.metrics import exposition

log = structlog.get_logger(__name__)


@require_safe
@public
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures; public because Prometheus cannot sign in: a token or an allowed address says that it may ask."""
    if not (_has_token(request) or _comes_from_allowed_address(request)):
        raise PermissionDenied
    try:
        body = exposition()
    except DatabaseError as error:
        log.warning("metrics_not_computed", error=str(error).strip())
        return HttpResponse("The database did not answer.\n", status=503, content_type="text/plain")
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    """Whether it carries the token of the environment."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = settings.METRICS_TOKEN
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _comes_from_allowed_address(request: HttpRequest) -> bool:
    """Whether it comes straight from an allowed address. Through a proxy everybody comes from the proxy's: not so."""
    if any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a local socket has none
        return False
    return any(address in network for network in settings.METRICS_ALLOWED)
