"""Who is let in when more is asked of a web process than it can answer; all others are told at once to come again.

Each kind of request has a lane of its own: so many are at work, so many wait, and the next is answered 503. Pages get
half of the threads, so what people decide and what outside systems report find a thread while everybody loads pages.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.utils.module_loading import import_string
from gunicorn.workers.gthread import TConn

log = structlog.get_logger(__name__)
# Whoever was turned away is asked to come again within such a span, each at another moment: not in a crowd.
SOONEST_SECONDS, LATEST_SECONDS = 3, 10
_PROBES = frozenset({b"/healthz", b"/readyz", b"/metrics"})
_MIDDLEWARE_OF_EVERY_ANSWER = (
    "csp.middleware.CSPMiddleware",
    "accounts.middleware.NeverStored",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
)


class Kind(StrEnum):
    """What a request is for, as far as its first line says."""

    PAGES = "pages"  # lists, searches, cases: can be looked at a moment later
    DECISIONS = "decisions"  # whatever a person sends
    WEBHOOKS = "webhooks"
    PROBES = "probes"  # supervisors and monitoring, and the files that pages load


@dataclass(slots=True)
class Lane:
    """The requests of one kind in one process. Only the thread that accepts connections touches it."""

    at_once: int
    may_wait: int
    at_work: int = 0
    refused: int = 0
    waiting: deque[TConn] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        """Whether the next one is turned away."""
        return self.at_work >= self.at_once and len(self.waiting) >= self.may_wait

    def enter(self, conn: TConn) -> bool:
        """Take it in; whether work on it begins at once. What waits comes out of `leave`."""
        if self.at_work >= self.at_once:
            self.waiting.append(conn)
            return False
        self.at_work += 1
        return True

    def leave(self) -> TConn | None:
        """One is done; the one that is worked on in its place, if any waits."""
        if self.waiting:
            return self.waiting.popleft()
        self.at_work -= 1
        return None


def kind_of(head: bytes) -> Kind:
    """The kind of the request that begins with these bytes; what cannot be told yet counts as a page."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path.startswith(b"/hooks/"):
        return Kind.WEBHOOKS
    if path in _PROBES or path.startswith(b"/static/"):
        return Kind.PROBES
    return Kind.DECISIONS if method == b"POST" else Kind.PAGES


def lanes(threads: int) -> dict[Kind, Lane]:
    """The lanes of a process with so many threads."""
    at_once = {Kind.PAGES: max(1, threads // 2)}
    return {kind: Lane(at_once.get(kind, threads), settings.WEB_WAITING[kind]) for kind in Kind}


class Refusal:
    """The answer to a kind of request for which there is no room, made ready while there is time."""

    def __init__(self, kind: Kind) -> None:
        response = _refusal(kind)
        lines = [f"HTTP/1.1 503 {response.reason_phrase}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in response.items()]
        self._head = "\r\n".join(lines).encode("latin-1")
        self._rest = b"\r\nContent-Length: %d\r\n\r\n%b" % (len(response.content), response.content)

    def __bytes__(self) -> bytes:
        again = random.randint(SOONEST_SECONDS, LATEST_SECONDS)  # noqa: S311 - spreads a crowd, hides nothing
        return b"%b\r\nRetry-After: %d%b" % (self._head, again, self._rest)


def _refusal(kind: Kind) -> HttpResponse:
    """As Django would answer, with the headers that all answers have."""

    def answer(request: HttpRequest) -> HttpResponse:
        if kind in (Kind.WEBHOOKS, Kind.PROBES):
            return HttpResponse("Too busy just now. Please send it again.\n", status=503, content_type="text/plain")
        try:
            page = loader.get_template("busy.html").render({"sent": kind is Kind.DECISIONS})
        except ValueError as error:  # no page has its files, but webhooks are taken in all the same
            log.warning("refusal_is_no_page", error=str(error))
            return HttpResponse("Too busy just now. Please come again.\n", status=503, content_type="text/plain")
        return HttpResponse(page, status=503)

    for middleware in _MIDDLEWARE_OF_EVERY_ANSWER:
        answer = import_string(middleware)(answer)
    request = HttpRequest()
    request.method = "GET"
    # Behind TLS, as all requests are where that header is believed.
    request.META["HTTP_X_FORWARDED_PROTO"] = "https"
    return answer(request)
