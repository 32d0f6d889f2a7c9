"""Addresses of servers, read from URLs."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from psycopg.conninfo import conninfo_to_dict


@dataclass(frozen=True)
class Limits:
    """For how long the database lets a process have a statement, wait for a lock, and leave a transaction idle."""

    statement_seconds: int
    lock_seconds: int
    idle_seconds: int

    @property
    def options(self) -> str:
        """As libpq hands them to the server."""
        return (
            f"-c statement_timeout={self.statement_seconds}s -c lock_timeout={self.lock_seconds}s "
            f"-c idle_in_transaction_session_timeout={self.idle_seconds}s"
        )


# Where somebody waits, an early refusal is better than a late answer; work in the background may take longer.
LIMITS = {"web": Limits(5, 2, 15), "worker": Limits(30, 5, 60)}


def database_from_url(url: str, limits: Limits) -> dict[str, Any]:
    """Turn a libpq URL into a Django database entry; whatever libpq understands is passed through."""
    parts: dict[str, Any] = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    entry: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "opsdesk"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        # One connection a thread, kept: reconnecting costs a factor of five.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": False,
    }
    given = str(parts.pop("options", ""))
    entry["OPTIONS"] = {"connect_timeout": 5, **parts, "options": f"{limits.options} {given}".strip()}
    return entry


def redis_with_limits(url: str, *, seconds: int) -> str:
    """The URL of a Redis that nobody waits for longer than that; what it says itself counts more."""
    said = parse_qs(urlsplit(url).query)
    limits = {name: seconds for name in ("socket_connect_timeout", "socket_timeout") if name not in said}
    return f"{url}{'&' if said else '?'}{urlencode(limits)}" if limits else url
