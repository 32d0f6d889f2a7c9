"""Addresses of servers, read from URLs."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict


def database_from_url(url: str) -> dict[str, Any]:
    """Turn a libpq URL into a Django database entry; whatever libpq understands is passed through.

    Web requests get short time-outs; workers ask for longer ones themselves.
    """
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
    limits = "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
    entry["OPTIONS"] = {"connect_timeout": 5, **parts, "options": f"{limits} {given}".strip()}
    return entry
