"""Calls through the door to a server that a test scripts."""

from collections.abc import Callable
from typing import Any

import pytest

from integrations.errors import CallFailed
from integrations.http import Answer, Door, Limits
from integrations.models import Call, Connection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
QUICK = Limits(connect=0.3, read=0.3, total=0.6)
Connect = Callable[..., Connection]


def send(connection: Connection, method: str = "POST", *, calls: list[Call] | None = None, **how: Any) -> Answer:
    limits = how.pop("limits", QUICK)
    door = Door(connection, [] if calls is None else calls, limits=limits)
    return door.send(method, "/v1/refunds", operation="refund", **how)


def fails(connection: Connection, method: str = "POST", **how: Any) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        send(connection, method, **how)
    return failed.value
