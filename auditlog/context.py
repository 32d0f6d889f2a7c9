"""Telling the database who is at work: what its triggers take down carries person, task or command and the request.

The name travels with the statement that writes, as a setting of its transaction: no round trip more, and nothing left
on a connection that the next request gets. Statements that write no tracked table carry none.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import structlog
from psycopg.sql import Composable

from auditlog.tracking import tracked

_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?|TRUNCATE(?:\s+TABLE)?|MERGE\s+INTO)"
    r'\s+(?:"?public"?\.)?"?(\w+)',
    re.IGNORECASE,
)


def who() -> dict[str, Any]:
    """Who is at work in this thread, as the process knows it; empty where nobody said."""
    bound = structlog.contextvars.get_contextvars()
    if bound.get("request_id"):
        user = bound.get("user_id")
        token = f" by token {bound['token']}" if bound.get("token") else ""
        actor = f"user {user}{token}" if user else "a request without sign-in"
        return {"actor": actor, "user": user, "request": str(bound["request_id"])}
    if bound.get("task_id"):
        return {"actor": f"task {bound.get('task') or 'unnamed'}", "user": None, "request": str(bound["task_id"])}
    if bound.get("command"):
        return {"actor": f"command {bound['command']}", "user": None, "request": str(bound["command_id"])}
    return {}


def speak_on(connection: Any, **kwargs: Any) -> None:
    """Have every statement on a connection that writes a tracked table say who is at work."""
    if connection.vendor == "postgresql" and saying_who not in connection.execute_wrappers:
        connection.execute_wrappers.append(saying_who)


def saying_who(execute: Callable[..., Any], statement: Any, params: Any, many: bool, context: Any) -> Any:
    """Run one statement, and before it, in the same message, the setting that names who is at work."""
    text = statement.as_string(None) if isinstance(statement, Composable) else str(statement)
    if many or text.startswith(("SELECT", "SAVEPOINT", "RELEASE")) or not writes_tracked(text):
        return execute(statement, params, many, context)
    name = who()
    if not name:
        return execute(statement, params, many, context)
    quoted = json.dumps(name).replace("'", "''")
    if params is not None:
        quoted = quoted.replace("%", "%%")
    result = execute(f"SELECT set_config('opsdesk.who', '{quoted}', true); {text}", params, many, context)
    # The first answer is the setting's; whoever asked wants the one of their statement.
    context["cursor"].nextset()
    return result


def writes_tracked(statement: str) -> bool:
    """Whether a statement may write one of the tracked tables."""
    return any(found[1].lower() in _tables() for found in _WRITES.finditer(statement))


@cache
def _tables() -> frozenset[str]:
    return frozenset(each.model._meta.db_table for each in tracked())
