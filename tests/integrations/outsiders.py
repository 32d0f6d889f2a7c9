"""Gateways written by others, as processes of their own on free ports; the variables say where they are installed."""

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

START_SECONDS = 30.0
API_KEY = "sk_test_of_the_tests"
STATEFUL_MOCK = "require('stripe-stateful-mock').createExpressApp().listen(Number(process.argv[1]), '127.0.0.1')"


@contextmanager
def stripe_stateful_mock() -> Iterator[str]:
    """The package stripe-stateful-mock in the folder OPSDESK_STRIPE_MOCK; gives its address."""
    port = _free_port()
    command = ["node", "-e", STATEFUL_MOCK, str(port)]
    with _running(command, port, folder=Path(os.environ["OPSDESK_STRIPE_MOCK"])) as url:
        yield url


@contextmanager
def localstripe() -> Iterator[str]:
    """The package localstripe, whose executable is OPSDESK_LOCALSTRIPE; gives its address."""
    port = _free_port()
    with _running([os.environ["OPSDESK_LOCALSTRIPE"], "--port", str(port), "--from-scratch"], port) as url:
        yield url


def post(url: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Call one of them as somebody else does: the shop that takes the money."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, urlencode(fields), headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status == 200, body
    return json.loads(body) if body else {}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], port: int, folder: Path | None = None) -> Iterator[str]:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"It did not start: {process.communicate()[1].decode(errors='replace')}")
        time.sleep(0.05)
