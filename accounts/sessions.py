"""Sessions as rows that know whose they are: listed to their owner, ended at once, and over after a while."""

import hashlib
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from opsdesk.lib import clock

STARTED, PLACE = "started", "place"
# What a request of a page that refreshes itself carries: nobody is at the keys, so it keeps no session alive.
UNATTENDED = "Desk-Unattended"
# How exactly it is known when a session was last used; every page would otherwise write a row.
TOUCHED_EVERY = timedelta(minutes=1)


class SessionQuerySet(models.QuerySet["Session"]):
    """Sessions of people."""

    def alive(self, *, idle: timedelta, longest: timedelta) -> Self:
        """Those in which somebody could go on working now."""
        now = clock.now()
        return self.filter(expire_date__gt=now, seen_at__gt=now - idle, started_at__gt=now - longest)


class Session(AbstractBaseSession):
    """One browser in which somebody is signed in, or nobody yet.

    A change of role, password or standing deletes the rows of whoever it is about: triggers of those tables do it, so
    that it happens whichever way the change is made.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+", editable=False
    )
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True, db_default="")

    objects: ClassVar[Any] = BaseSessionManager.from_queryset(SessionQuerySet)()

    class Meta(AbstractBaseSession.Meta):
        constraints = [
            models.CheckConstraint(
                name="accounts_session_seen_since_it_started", condition=Q(seen_at__gte=models.F("started_at"))
            )
        ]

    @classmethod
    def get_session_store_class(cls) -> "type[SessionStore]":
        return SessionStore

    @property
    def handle(self) -> str:
        """What a page calls it by: its key would be enough to sign in with."""
        return handle_of(self.session_key)


def handle_of(session_key: str | None) -> str:
    """A name for a session from which its key cannot be told."""
    return hashlib.sha256(f"session {session_key}".encode()).hexdigest()[:24]


class SessionStore(DatabaseStore):
    """Django's own store, in our table."""

    # The row as it was read for this request; None until then, and for a session that is new.
    row: Session | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def _get_session_from_db(self) -> Session | None:
        self.row = super()._get_session_from_db()  # type: ignore[misc]
        return self.row

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row to save: whose it is, since when, and from where it was opened."""
        now = clock.now()
        user_id = data.get(SESSION_KEY)
        if user_id is not None:
            # A new key of the same session, as after a change of one's password, does not begin anew.
            data.setdefault(STARTED, now.timestamp())
        row = cast(Session, super().create_model_instance(data))
        row.user_id = int(user_id) if user_id is not None else None
        row.started_at = datetime.fromtimestamp(data[STARTED], tz=now.tzinfo) if user_id is not None else now
        row.seen_at = max(now, row.started_at)
        place = data.get(PLACE, {})
        row.address, row.agent = place.get("address"), place.get("agent", "")
        return row


def place_of(request: HttpRequest) -> dict[str, str | None]:
    """From where somebody signs in, as far as the request tells."""
    agent = "".join(sign for sign in request.headers.get("User-Agent", "") if sign.isprintable())
    return {"address": request.META.get("REMOTE_ADDR") or None, "agent": agent[:200]}


def is_over(row: Session, *, idle: timedelta, longest: timedelta) -> bool:
    """Whether nobody was at the keys for too long, or the session is as old as one may become."""
    now = clock.now()
    return now - row.seen_at >= idle or now - row.started_at >= longest


def touch(row: Session) -> None:
    """Take down that somebody uses the session now."""
    now = clock.now()
    if now - row.seen_at >= TOUCHED_EVERY:
        Session.objects.filter(pk=row.pk).update(seen_at=now)


def end(*, of_user: int, handles: set[str] | None = None, but: str | None = None) -> int:
    """End sessions of an account: the named ones, or all but the one with the key `but`. Returns how many."""
    rows = Session.objects.filter(user_id=of_user).exclude(session_key=but or "")
    keys = [row.pk for row in rows.only("session_key") if handles is None or row.handle in handles]
    return int(Session.objects.filter(pk__in=keys).delete()[0])
