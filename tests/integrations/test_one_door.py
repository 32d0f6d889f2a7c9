"""I4: there is one door out. Nothing else of the desk imports a client of HTTP or opens a socket."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
APPS = ["accounts", "auditlog", "workflows", "integrations", "approvals", "opsdesk"]
CLIENTS = {"requests", "urllib3", "http.client", "urllib.request", "httpx", "aiohttp", "ftplib", "telnetlib"}
SOCKETS = {"socket.socket", "socket.create_connection"}
# The wire itself, and the same lent to a library that expects `requests`.
DOOR = {"integrations/http/transport.py", "integrations/http/lent.py"}
# Not the desk: the pretend outside world, the shop of the demonstration, and what starts servers on this machine.
OTHERS = ("opsdesk/sandbox/", "opsdesk/demo/", "opsdesk/embedded/", "opsdesk/management/commands/")


def used(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from {ast.unparse(node.func)} & SOCKETS


def users() -> set[str]:
    found = set()
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(OTHERS) and any(_is_client(module) for module in used(path)):
                found.add(name)
    return found


def _is_client(module: str) -> bool:
    return any(module == client or module.startswith(f"{client}.") for client in CLIENTS | SOCKETS)


def test_only_the_door_has_a_client():
    assert users() == DOOR


def test_the_search_finds_every_way_to_use_one(tmp_path: Path):
    for text in (
        "import requests",
        "from urllib import request",
        "import http.client as c",
        "from requests.api import get",
    ):
        module = tmp_path / "module.py"
        module.write_text(f"def late():\n    {text}\n")

        assert any(_is_client(name) for name in used(module)), text
