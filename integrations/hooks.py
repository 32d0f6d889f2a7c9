"""The intake: webhooks are checked, stored byte for byte in one statement, and acknowledged. Nothing is read here.

Statements of one acknowledged webhook: insert; for a copy also: look at the endpoint again, find the first one; for the
same id with other content also: insert that one aside. One of them writes, so there is one commit. The endpoint is kept
in the process, and the insert itself proves that it is still the one that was kept: a change counts at once.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, cast

import structlog
from django.core.handlers.wsgi import WSGIRequest
from django.db import Error, OperationalError, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.access import public
from integrations.models import Endpoint
from integrations.secrets import Undecryptable
from integrations.signatures import BadSignature, WrongTime, verify
from opsdesk.lib import clock, queue
from opsdesk.lib.crashing import crashpoint
from workflows.states import EventState

log = structlog.get_logger(__name__)

LARGEST = 256 * 1024
RETRY_AFTER_SECONDS = 5
_NOTED_EVERY = timedelta(seconds=10)
# What makes an endpoint the same one; in the order of the INSERT.
_PROVEN = ("id", "secret", "old_secret", "old_secret_until")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_INSERT = """
    INSERT INTO workflows_event
        (organization_id, source, dedupe_key, reader, body, body_hash, state, type, reason)
    SELECT organization_id, %s, %s, scheme, %s, %s, %s, '', %s FROM integrations_endpoint
    WHERE id = %s AND enabled AND secret = %s AND old_secret = %s AND old_secret_until IS NOT DISTINCT FROM %s
    ON CONFLICT (source, dedupe_key) DO NOTHING
    RETURNING id
"""
_ENDPOINT = """
    SELECT endpoint.* FROM integrations_endpoint endpoint
    JOIN accounts_organization organization ON organization.id = endpoint.organization_id
    WHERE organization.slug = %s AND endpoint.slug = %s
"""
# The endpoint of each address as it was last read.
_kept: dict[tuple[str, str], Endpoint] = {}
_FIND = "SELECT id, body_hash FROM workflows_event WHERE source = %s AND dedupe_key = %s"


class Refused(Exception):
    """The request is not taken; the status says why to the sender, the reason to people."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Taken:
    """Where a body is stored, and whether it had been before."""

    event_id: int
    duplicate: bool


class _Message(NamedTuple):
    """What is stored of a webhook, in the order of the INSERT."""

    source: str
    key: str
    body: bytes
    digest: str


@public
@csrf_exempt
def receive(request: HttpRequest, organization: str, endpoint: str) -> HttpResponse:
    """Take in a webhook. Public, because senders cannot sign in: the signature says who they are."""
    source = f"{organization}/{endpoint}"
    # Asking the server before each request whether it is there costs as much as the insert. The insert finds out too.
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        body = _checked_body(cast(WSGIRequest, request))
        try:
            taken = _take(request, body, organization, endpoint)
        except Error:
            if not _connection_is_lost():
                raise
            # A server that was restarted: what was stored before the connection broke is found again by its key.
            connection.close()
            taken = _take(request, body, organization, endpoint)
    except Refused as refusal:
        log.info("webhook_refused", source=source, status=refusal.status, reason=refusal.reason)
        return _answer(refusal.status, {"error": refusal.reason}, refusal.headers)
    except (Error, Undecryptable) as trouble:
        # An error is not a "no": the row may be there all the same. The sender comes again and finds out.
        log.error("webhook_not_stored", source=source, error=str(trouble))
        if not connection.in_atomic_block:
            connection.close()
        again = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return _answer(503, {"error": "Nothing could be stored. Please send it again."}, again)
    if taken.duplicate:
        return _answer(200, {"duplicate": taken.event_id})
    queue.ring("workflows.tick")
    return _answer(202, {"received": taken.event_id})


def _connection_is_lost() -> bool:
    return not connection.in_atomic_block and (connection.connection is None or connection.connection.closed)


def _answer(status: int, document: dict[str, Any], headers: Mapping[str, str] | None = None) -> HttpResponse:
    return JsonResponse(document, status=status, headers={**_HEADERS, **(headers or {})})


def _checked_body(request: WSGIRequest) -> bytes:
    """The body of a request that may be taken in as far as its head tells. Raises Refused."""
    if request.method != "POST":
        raise Refused(405, "Webhooks are posted.", {"Allow": "POST"})
    body = _read_body(request)
    _check_content_type(request)
    return body


def _take(request: HttpRequest, body: bytes, organization: str, slug: str) -> Taken:
    """Check who sent it, then store. Raises Refused."""
    source = f"{organization}/{slug}"
    digest = hashlib.sha256(body).hexdigest()
    kept = _kept.get((organization, slug))
    if kept is not None:
        with suppress(BadSignature):
            message = _Message(source, verify(kept, request.headers, body, clock.now()), body, digest)
            received = _insert(kept, message, EventState.RECEIVED, "")
            if received is not None:
                return Taken(received, duplicate=False)
    # New here, a copy, a wrong signature, or the endpoint has changed: what counts is how it stands now.
    endpoint = _read_endpoint(organization, slug)
    try:
        key = verify(endpoint, request.headers, body, clock.now())
    except BadSignature as bad:
        if isinstance(bad, WrongTime):
            _note_wrong_time(endpoint, bad)
        raise Refused(401, f"The signature was not accepted: {bad}.") from bad
    if not endpoint.enabled:
        raise Refused(404, "Nobody listens here.")
    return _store(endpoint, _Message(source, key, body, digest), tried=_same(kept, endpoint))


def _note_wrong_time(endpoint: Endpoint, bad: WrongTime) -> None:
    """Leave word for the watchdog that the sender's clock or ours is wrong, now and then in a flood of them."""
    lately = Q(refused_at__gt=Now() - _NOTED_EVERY)
    Endpoint.objects.filter(pk=endpoint.pk).exclude(lately).update(refused_at=Now(), refused_skew=bad.skew)


def _read_endpoint(organization: str, slug: str) -> Endpoint:
    """The endpoint as it stands now, kept for the next time. Built by the ORM, this query would take twice as long."""
    endpoint: Endpoint | None = next(iter(Endpoint.objects.raw(_ENDPOINT, [organization, slug])), None)
    _kept.pop((organization, slug), None)
    if endpoint is None:
        raise Refused(404, "Nobody listens here.")
    if endpoint.enabled:
        _kept[organization, slug] = endpoint
    return endpoint


def forget_endpoints() -> None:
    """Read every endpoint anew: for tests, whose databases come and go under one process."""
    _kept.clear()


def _same(kept: Endpoint | None, endpoint: Endpoint) -> bool:
    """Whether the insert with the kept endpoint was as good as one with the fresh one: then the key is a known one."""
    return kept is not None and all(getattr(kept, name) == getattr(endpoint, name) for name in _PROVEN)


def _read_body(request: WSGIRequest) -> bytes:
    """The whole body, unless it is too large; then it is not read to its end."""
    length = request.META.get("CONTENT_LENGTH", "")
    if length:
        if not (length.isascii() and length.isdigit()):
            raise Refused(400, "Content-Length is not a number.")
        if int(length) > LARGEST:
            raise Refused(413, f"The body is larger than {LARGEST} bytes.")
        wanted = int(length)
    elif request.META.get("HTTP_TRANSFER_ENCODING"):
        wanted = LARGEST + 1
    else:
        wanted = 0
    try:
        # Django's own stream ends at Content-Length, so it would show a chunked body as an empty one.
        body: bytes = request.environ["wsgi.input"].read(wanted) if wanted else b""
    except Exception as broken:
        # Every server has errors of its own for a body that is cut or malformed.
        raise Refused(400, "The body broke off.") from broken
    if len(body) > LARGEST:
        raise Refused(413, f"The body is larger than {LARGEST} bytes.")
    if length and len(body) < wanted:
        raise Refused(400, "The body broke off.")
    return body


def _check_content_type(request: HttpRequest) -> None:
    kind, _, rest = request.META.get("CONTENT_TYPE", "").partition(";")
    parameter = rest.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != "application/json" or parameter not in {"", "charset=utf-8"}:
        raise Refused(415, "Webhooks are application/json in UTF-8.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Refused(415, "Webhooks are not compressed.")


def _store(endpoint: Endpoint, message: _Message, *, tried: bool) -> Taken:
    """Insert, unless that was just tried in vain; the database says whether the message is new."""
    received = None if tried else _insert(endpoint, message, EventState.RECEIVED, "")
    if received is not None:
        return Taken(received, duplicate=False)
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [message.source, message.key])
        found = cursor.fetchone()
    if found is None:
        raise OperationalError("The endpoint changed while the message was being stored.")
    first, first_digest = found
    if first_digest == message.digest:
        return Taken(first, duplicate=True)
    # The id was used for other content: kept for people to see, never acted on.
    other = message._replace(key=f"{message.key}#{message.digest}")
    aside = _insert(
        endpoint, other, EventState.QUARANTINED, f"The sender used the id of event {first} again for other content."
    )
    if aside is None:
        return Taken(first, duplicate=True)
    log.warning("webhook_id_used_twice", source=message.source, first=first, event_id=aside)
    return Taken(aside, duplicate=False)


def _insert(endpoint: Endpoint, message: _Message, state: EventState, reason: str) -> int | None:
    """The new row's id, or None when there is one with this key already, or the endpoint is no longer this one."""
    proof = [getattr(endpoint, name) for name in _PROVEN]
    crashpoint("intake.before_insert")
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [*message, state.value, reason, *proof])
        row = cursor.fetchone()
    crashpoint("intake.after_insert")
    return row[0] if row else None
