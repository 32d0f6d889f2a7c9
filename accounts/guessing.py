"""Against guessing: a few tries for each account, counted by django-axes, one at a time, whoever asks from wherever.

Tries are counted by account and not by address, because addresses are cheap. So that nobody can be locked out by
a stranger's guesses, a browser in which the account has signed in before has a count of its own.
"""

import hashlib
import hmac
from datetime import timedelta

import structlog
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessFailureLog
from django.conf import settings
from django.core import signing
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import get_random_string

from opsdesk.lib import clock

log = structlog.get_logger(__name__)

TRIES, PER_DAY = 10, 100
WAIT = timedelta(minutes=15)
# So many accounts tried in vain within the wait are no longer people who mistype.
SPRAY = 20
DEVICE_COOKIE = "device"
_DEVICE_SALT = "accounts.device"
_DEVICE_AGE = timedelta(days=180)
# Accounts that one browser is remembered for.
_MOST_ACCOUNTS = 5


def account_key(name: str) -> str:
    """What tries are counted under instead of a name: people type their password into the wrong box."""
    return hmac.new(settings.SECRET_KEY.encode(), name.casefold().encode(), hashlib.sha256).hexdigest()[:32]


def bucket(request: HttpRequest, credentials: dict[str, str] | None = None) -> str:
    """The count that a try belongs to: that of the account, or of a browser that the account knows."""
    key = account_key((credentials or {}).get("username") or request.POST.get("username") or "")
    device = _devices(request).get(key)
    return f"{key}.{device}" if device else key


class Counter(AxesDatabaseHandler):
    """The counts of django-axes, with a limit for the day beside the one for the quarter of an hour."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, str] | None = None) -> bool:
        if super().is_locked(request, credentials):
            return True
        since = clock.now() - timedelta(days=1)
        rows = AccessFailureLog.objects.filter(username=bucket(request, credentials), attempt_time__gt=since)
        return bool(rows[:PER_DAY].count() >= PER_DAY)

    def user_logged_in(self, sender: object, request: HttpRequest, user: object, **kwargs: object) -> None:
        """Signing in is not yet proof of all that is asked: `forgive` is called when it is."""

    def user_logged_out(self, sender: object, request: HttpRequest, user: object, **kwargs: object) -> None:
        """Nothing is counted here."""


def forgive(request: HttpRequest, name: str) -> None:
    """Forget the tries of whoever has now shown to be the owner; what was counted for the day stays."""
    Counter().reset_attempts(username=bucket(request, {"username": name}))


def has_turn(request: HttpRequest, name: str) -> bool:
    """Take the turn to try, until the transaction ends; False while another try for the same account is under way.

    Tries side by side would all be counted after they were made.
    """
    with connection.cursor() as cursor:
        key = bucket(request, {"username": name})
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 8123))", [f"sign-in {key}"])
        return bool(cursor.fetchone()[0])


def refused(request: HttpRequest, credentials: object = None, *args: object, **kwargs: object) -> HttpResponse:
    """The answer to a try too many: the same for accounts that are there and that are not."""
    log.warning("sign_in_locked", address=request.META.get("REMOTE_ADDR", ""))
    seconds = int(WAIT.total_seconds())
    page = render(request, "accounts/locked_page.html", {"minutes": seconds // 60}, status=429)
    page.headers["Retry-After"] = str(seconds)
    return page


def sprayed() -> int:
    """How many accounts were tried in vain lately, where it is more than people mistype; else 0."""
    lately = AccessFailureLog.objects.filter(attempt_time__gt=clock.now() - WAIT)
    found: int = lately.values("username").distinct().count()
    return found if found >= SPRAY else 0


def forget_old_tries() -> int:
    """Delete what no count asks for any more. Returns how many rows."""
    return int(AccessFailureLog.objects.filter(attempt_time__lt=clock.now() - timedelta(days=30)).delete()[0])


# Known browsers.


def _devices(request: HttpRequest) -> dict[str, str]:
    try:
        found = signing.loads(request.COOKIES.get(device_cookie(), ""), salt=_DEVICE_SALT, max_age=_DEVICE_AGE)
    except signing.BadSignature:
        return {}
    return found if isinstance(found, dict) else {}


def device_cookie() -> str:
    """The cookie's name: with the prefix that keeps other hosts from setting it, where the desk is encrypted."""
    return f"__Host-{DEVICE_COOKIE}" if settings.SESSION_COOKIE_SECURE else DEVICE_COOKIE


def remember_device(request: HttpRequest, response: HttpResponse, name: str) -> None:
    """Have this browser known to the account that has signed in with it."""
    key, devices = account_key(name), _devices(request)
    devices = {key: devices.get(key) or get_random_string(16), **{k: v for k, v in devices.items() if k != key}}
    response.set_cookie(
        device_cookie(),
        signing.dumps(dict(list(devices.items())[:_MOST_ACCOUNTS]), salt=_DEVICE_SALT),
        max_age=_DEVICE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
