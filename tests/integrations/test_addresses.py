"""I1 and I2: where the door leads, and that no disguise, rebinding or redirect leads inside."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integrations.errors import AddressRefused, CallFailed
from integrations.http import Door, check_url
from integrations.http.addresses import is_public
from integrations.models import Connection
from tests.integrations.scripted import ScriptedServer, answer
from workflows.states import FailureKind

PUBLIC = "93.184.216.34"
# Names that somebody else's name server may point anywhere.
NAMES = {
    "inside.test": ["127.0.0.1"],
    "mixed.test": [PUBLIC, "127.0.0.1"],
    "mixed-six.test": ["2606:2800:220:1::1", "::1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:10.0.0.1"],
}
HOSTS = [
    "127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "2130706433", "0x7f000001", "017700000001", "0177.0.0.1",
    "0x7f.0.0.1", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]", "[::ffff:127.0.0.1]",  # noqa: S104 - called, not listened on
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fec0::1]",
    "[fe80::1]", "[fc00::1]", "[ff02::1]", "[2001::1]", "[100::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.0.170", "192.88.99.1", "198.18.0.1", "192.0.2.1", "224.0.0.1",
    "239.1.1.1", "240.0.0.1", "255.255.255.255", "①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1%00", "[::1%25lo]", *NAMES,
]  # fmt: skip
SHAPES = [
    "", "/", "//gateway.test", "gateway.test", "http://gateway.test", "ftp://gateway.test", "file:///etc/passwd",
    "gopher://gateway.test", "javascript:alert(1)", "https://", "https://:443", "https:///v1", "https://gateway.test:0x50",
    "https://gateway.test:99999", "https://user@gateway.test", "https://user:key@gateway.test", "https://@gateway.test",
    "https://gateway.test?x", "https://gateway.test/#x", "https://gateway.test\\@inside.test", "https://gateway test",
    "https://gateway.test\r\nHost: inside.test", "https://gateway.test/../inside", "https://gateway.test//inside.test",
    "https://gätéway.test", "https://[gateway.test]", "https://-gateway.test", "https://[::1", " https://gateway.test",
]  # fmt: skip


@pytest.fixture
def listener() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of NAMES lead where it says; the list tells what was looked up."""
    looked_up: list[str] = []
    ask = socket.getaddrinfo

    def answer_for(host: str, port: int, **rest: Any) -> Any:
        looked_up.append(host)
        return [found for place in NAMES.get(host, [host]) for found in ask(place, port, **rest)]

    monkeypatch.setattr(socket, "getaddrinfo", answer_for)
    return looked_up


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses that somebody tried to connect to; nobody gets through."""
    tried: list[Any] = []

    def refuse(_: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def call(url: str) -> CallFailed:
    """Call an address of an admin's; it must fail."""
    connection = Connection(pk=1, name="Gateway", base_url=url)
    with pytest.raises(CallFailed) as failed:
        Door(connection, []).send("POST", "/v1/refunds", operation="refund", form=[("amount", "1")])
    return failed.value


@pytest.mark.parametrize("host", HOSTS)
def test_no_name_or_number_leads_inside(host: str, listener: ScriptedServer, asked: list[str], dialled: list[Any]):
    failed = call(f"https://{host}:{listener.port}")

    assert failed.kind == FailureKind.INFRASTRUCTURE
    assert not failed.effect_possible
    assert dialled == []
    assert listener.connections == 0


@pytest.mark.parametrize("url", SHAPES)
def test_no_other_shape_of_an_address_is_called(url: str, dialled: list[Any]):
    with pytest.raises(AddressRefused):
        check_url(url)

    assert not call(url).effect_possible
    assert dialled == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        ("8.8.8.8", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", False),
        ("2002:808:808::", False),
        ("::8.8.8.8", False),
        ("fec0::1", False),
        ("192.0.0.9", False),
        ("192.0.0.10", False),
        ("224.0.0.251", False),
        ("ff0e::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_counts_as_public(address: str, public: bool):
    assert is_public(address) is public


def test_a_name_is_looked_up_once_and_the_checked_address_is_called(
    monkeypatch: pytest.MonkeyPatch, dialled: list[Any]
):
    answers = iter([PUBLIC, "127.0.0.1", "127.0.0.1"])

    def rebinding(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    call("https://rebinding.test")

    assert dialled == [(PUBLIC, 443)]
    assert next(answers) == "127.0.0.1"


@pytest.mark.parametrize("exception", ["127.0.0.1", "127.0.0.1:1", "localhost:{port}", "*", "127.0.0.1:{port}/", ""])
def test_an_exception_fits_exactly_or_not_at_all(exception: str, listener: ScriptedServer, settings: Any):
    settings.OUTBOUND_EXCEPTIONS = [exception.format(port=listener.port)]

    call(listener.url)

    assert listener.connections == 0


def test_without_exceptions_nothing_inside_is_called(listener: ScriptedServer, settings: Any):
    settings.OUTBOUND_EXCEPTIONS = []

    call(listener.url)

    assert listener.connections == 0


def test_an_exception_is_called(listener: ScriptedServer, connect: Callable[[str], Connection]):
    answer = Door(connect(listener.url), []).send("GET", "/v1/refunds", operation="list")

    assert answer.ok
    assert listener.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_redirect_is_followed(
    status: int, method: str, listener: ScriptedServer, connect: Callable[[str], Connection]
):
    elsewhere = ScriptedServer()
    listener.plays(answer(status=status, location=f"{elsewhere.url}/v1/refunds"))

    reply = Door(connect(listener.url), []).send(method, "/v1/refunds", operation="refund")
    failed = reply.refusal("It sent us elsewhere.")
    elsewhere.close()

    assert reply.status == status
    assert elsewhere.connections == 0
    assert failed.kind == FailureKind.INFRASTRUCTURE
    assert failed.effect_possible is (method == "POST")


@pytest.mark.parametrize(
    "path",
    ["", "v1", "//inside.test/v1", "/v1/../v2", "/v1//x", "/v1?x=1", "/v1#x", "/v1\r\nX: y", "@inside.test/", "/./v1"],
)
def test_a_path_cannot_turn_into_an_address(path: str, listener: ScriptedServer, connect: Callable[[str], Connection]):
    with pytest.raises(CallFailed, match="not a path"):
        Door(connect(listener.url), []).send("GET", path, operation="read")

    assert listener.connections == 0
