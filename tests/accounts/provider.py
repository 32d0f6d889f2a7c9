"""An identity provider written by others, as a process of its own, and the person at the browser."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from django.test import Client
from django.urls import reverse

from accounts.models import GroupRole, Organization

START_SECONDS = 60.0
START = reverse("integrations:provider")


def make_group_role(organization: Organization, group: str, role: str, position: int = 1) -> GroupRole:
    """Whoever is in the group has the role."""
    return GroupRole.objects.create(organization=organization, group=group, role=role, position=position)


class Provider:
    """The running oidc-provider-mock."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def knows(self, sub: str, **claims: object) -> None:
        """Have it know a person with these claims, such as groups."""
        assert self._ask("PUT", f"/users/{sub}", json.dumps(claims), "application/json")[0] == 204

    def ask(self, address: str, sub: str | None) -> str:
        """What a person does there: say who they are, or with None refuse; gives the address they are sent back to."""
        assert address.startswith(self.url), address
        form = {"sub": sub} if sub else {"action": "deny"}
        path = address.removeprefix(self.url)
        status, back, said = self._ask("POST", path, urlencode(form), "application/x-www-form-urlencoded")
        assert status == 302, said
        return back

    def _ask(self, method: str, path: str, body: str, content_type: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {"Content-Type": content_type})
        reply = connection.getresponse()
        said = reply.read()
        connection.close()
        return reply.status, reply.headers.get("Location", ""), said


def come_back(client: Client, address: str):
    """The browser follows the provider's redirect to the desk."""
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def sign_in(client: Client, provider: Provider, sub: str | None, to: str = ""):
    """The whole way from the button to the desk's answer."""
    onward = client.get(START, {"next": to} if to else {})
    assert onward.status_code == 302, onward.content
    return come_back(client, provider.ask(onward.url, sub))


@contextmanager
def running() -> Iterator[Provider]:
    """Start it on a free port, wait until it answers, and stop it in the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield Provider(port)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError("The identity provider did not start.")
        time.sleep(0.05)
