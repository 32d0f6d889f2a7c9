"""Channels of chat: addresses go in and never come out, messages leave through the one door, and only as text."""

import ast
import importlib
import inspect
import re
import socket
from datetime import timedelta
from typing import Any

import pytest

from auditlog.models import Entry
from integrations.chat import keeping, known, posting
from integrations.errors import AddressRefused, TooManyChannels
from integrations.models import ChatChannel, Notice
from integrations.notices import deliver_due, tell
from integrations.secrets import Undecryptable
from integrations.states import NoticeState
from opsdesk.settings import BASE_DIR
from tests.factories import Cast, make_case, make_desk
from tests.integrations.test_addresses import HOSTS, NAMES, PUBLIC
from tests.plugins.chatroom import Chatroom
from tests.plugins.line import pass_time
from workflows.models import Case

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> tuple[Case, Cast]:
    organization, cast = make_desk()
    return make_case(organization), cast


def channel_of(cast: Cast, address: str, who: str = "ada") -> ChatChannel:
    return keeping.add_own(getattr(cast, who).memberships.get(), name="My chat", address=address)


def told(desk: tuple[Case, Cast], *, topic: str = "mention:1", who: str = "ada", subject: str = "Ben mentions you"):
    tell([getattr(desk[1], who)], case=desk[0], topic=topic, subject=subject, body="Look here.", path="/cases/7/")
    return Notice.objects.filter(channel="chat", topic=topic).last()


def fresh(notice: Notice) -> Notice:
    return Notice.objects.get(pk=notice.pk)


# --- going out ---------------------------------------------------------------------------------------------------


def test_a_message_goes_out_once_and_its_delivery_is_recorded(desk, room: Chatroom):
    channel_of(desk[1], room.address)
    notice = told(desk)

    while deliver_due():
        pass

    assert room.messages == [("Ben mentions you", "Look here.\nhttp://127.0.0.1:8000/cases/7/")]
    assert room.posts[0][0] == "/room/secret-token"
    assert fresh(notice).state == NoticeState.DELIVERED
    entry = Entry.objects.get(verb="integrations.notice.delivered", subject_id=str(notice.pk))
    assert "confirmed it" in entry.reason and "secret-token" not in str(entry.__dict__)


@pytest.mark.parametrize(
    ("answers", "state", "posts"),
    [
        ([202], NoticeState.SENT, 1),
        ([404], NoticeState.FAILED, 1),
        ([302], NoticeState.FAILED, 1),
        ([503, 429, 200], NoticeState.DELIVERED, 3),
        ([500] * 9, NoticeState.FAILED, 5),
    ],
)
def test_what_the_other_side_answers_decides_what_is_known(desk, room: Chatroom, answers, state, posts):
    channel_of(desk[1], room.address)
    notice = told(desk)
    room.answers = list(answers)

    while deliver_due():
        pass_time(timedelta(minutes=2))

    assert (fresh(notice).state, len(room.posts)) == (state, posts)
    # A redirect is not followed.
    assert {path for path, _ in room.posts} == {"/room/secret-token"}
    if state == NoticeState.FAILED:
        assert fresh(notice).message == f"A webhook of your own, not encrypted answered {answers[0]}."


def test_between_two_tries_it_says_that_it_failed_and_is_tried_again(desk, room: Chatroom):
    channel_of(desk[1], room.address)
    notice = told(desk)
    room.answers = [503]

    deliver_due()

    assert fresh(notice).state == NoticeState.RETRYING
    assert fresh(notice).due_at is not None


def test_a_channel_that_was_taken_away_is_sent_nothing(desk, room: Chatroom):
    channel = channel_of(desk[1], room.address)
    notice = told(desk)

    keeping.remove(channel.pk, by=desk[1].ada.memberships.get())
    while deliver_due():
        pass

    assert (fresh(notice).state, room.posts) == (NoticeState.FAILED, [])
    assert ChatChannel.objects.get().address == ""
    told(desk, topic="mention:2")
    assert not Notice.objects.filter(channel="chat", topic="mention:2").exists()


def test_a_team_is_sent_what_it_asked_for_once_whoever_it_is_for(desk, room: Chatroom):
    case, cast = desk
    team = cast.ada.teams.get()
    admin = cast.tomasz.memberships.get()
    keeping.add_shared(admin, name="Refunds", address=room.address, kinds=["ladder"], team=team)

    for topic in ("ladder:1:30:remind", "mention:1"):
        tell([cast.ada, cast.ben], case=case, topic=topic, subject="S", body="B", path="/")

    [notice] = Notice.objects.filter(channel="chat")
    assert (notice.topic, notice.recipient) == ("ladder:1:30:remind", None)
    tell([cast.tomasz], case=case, topic="ladder:2:30:remind", subject="S", body="B", path="/")
    assert Notice.objects.filter(channel="chat").count() == 1


def test_a_test_says_in_its_row_what_became_of_it(desk, room: Chatroom):
    channel = channel_of(desk[1], room.address)
    member = desk[1].ada.memberships.get()
    room.answers = [200, 401]

    for _ in range(2):
        keeping.send_test(channel.pk, by=member)
        deliver_due()

    good, bad = Notice.objects.filter(topic__startswith="test:").order_by("pk")
    assert (good.state, bad.state) == (NoticeState.DELIVERED, NoticeState.FAILED)
    assert "answered 401" in bad.message
    assert room.messages[0][0] == "A test from the desk"


# --- the door ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses that somebody tried to connect to; names of NAMES lead where it says. Nobody gets through."""
    tried: list[Any] = []
    ask = socket.getaddrinfo

    def answer_for(host: str, port: int, *rest: Any, **options: Any) -> Any:
        return [found for place in NAMES.get(host, [host]) for found in ask(place, port, *rest, **options)]

    def refuse(_: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", answer_for)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def post(address: str) -> posting.NotPosted:
    """Post to an address as if it had been stored; it must fail."""
    channel = ChatChannel(name="x", organization_id=1)
    channel.set_address(address)
    with pytest.raises(posting.NotPosted) as failed:
        posting.post(channel, title="t", text="x")
    return failed.value


@pytest.mark.parametrize("scheme", ["jsons", "json", "mmosts", "ntfys", "gotifys"])
def test_no_name_or_number_leads_inside(scheme: str, dialled: list[Any]):
    for host in HOSTS:
        post(f"{scheme}://{host}/aaaaaaaaaaaaaaaaaaaaaaaaaa")

    assert dialled == []


def test_a_public_host_is_dialled_at_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch, dialled: list[Any]):
    answers = iter([PUBLIC, "127.0.0.1"])
    found = lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 443))]  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", found)

    failed = post("jsons://rebinding.test/room")

    assert (dialled, failed.for_good) == ([(PUBLIC, 443)], False)


@pytest.mark.parametrize(
    "address",
    [
        "syslog://", "windows://", "dbus://", "gnome://", "macosx://", "file:///etc/passwd", "mailto://user:key@host",
        "rsyslog://127.0.0.1", "mqtt://127.0.0.1", "snmp://127.0.0.1", "form://127.0.0.1", "xml://host/x", "exec://ls",
        "https://hooks.slack.com/services/a/b/c", "JSONS://host/x", "jsons:///x", "jsons://", "jsons:host", "", " ",
        "jsons://host/x?verify=no", "jsons://host/x#y", "slack://a/b/c?template=/etc/passwd", "json://host.test/x",
        "jsons://host.test@inside.test/x\\", "jsons://gätéway.test/x", "jsons://host/..%2f..", "jsons://h%6fst/x",
        "jsons://host test/x", f"jsons://host/{'x' * 600}",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_before_they_are_stored(desk, address: str):
    with pytest.raises(AddressRefused):
        channel_of(desk[1], address)

    assert not ChatChannel.objects.exists()
    assert post(address).for_good


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "Discord"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544", "Telegram"),
        ("gchat://workspace/key/token", "Google Chat"),
        ("zulip://bot@organization/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/stream", "Zulip"),
        ("jsons://chat.example/room", "A webhook of your own at chat.example"),
        ("mmosts://chat.example:8443/aaaaaaaaaaaaaaaaaaaaaaaaaa", "Mattermost at chat.example"),
        ("ntfys://ntfy.example/topic", "ntfy at ntfy.example"),
        ("gotifys://gotify.example/aaaaaaaaaaaaaaa", "Gotify at gotify.example"),
    ],
)
def test_every_service_calls_only_where_it_says(address: str, shown: str, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def nowhere(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)

    failed = post(address)

    read = known.read(address)
    assert read.shown == shown
    assert asked and all(any(host == name or host.endswith(name) for name in read.hosts) for host in asked)
    assert (failed.for_good, failed.words) == (False, f"{read.service.label}: Its name could not be looked up.")


def test_a_service_that_turns_elsewhere_is_stopped(desk, room: Chatroom, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(known, "read", lambda _: known.Read("json", known.SERVICES["json"], ("other.test",), "x"))

    failed = post(room.address)

    assert (failed.for_good, failed.words.endswith("is not where this channel leads.")) == (True, True)
    assert room.posts == []


def test_what_apprise_is_lent_is_its_only_way_out():
    for service in known.SERVICES.values():
        module = posting._plugin(service.plugin).__module__
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) if not node.level}
        assert not names & {"socket", "subprocess", "urllib.request", "http.client", "smtplib", "ssl", "httpx"}, module
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_requests(node.value)}
        assert used <= {"request", "post", "get", "codes", "RequestException"}, module


def _is_requests(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "requests"


def test_only_workers_load_apprise():
    loads = re.compile(r"^(?:import apprise|from apprise|from integrations.chat(?:.posting)? import .*post)", re.M)
    files = [
        path for app in ("accounts", "approvals", "integrations", "opsdesk") for path in BASE_DIR.glob(f"{app}/**/*.py")
    ]
    loaders = [path.name for path in files if loads.search(path.read_text())]

    assert loaders == []


# --- the secret ----------------------------------------------------------------------------------------------------


def test_an_address_is_stored_encrypted_and_for_its_own_row_alone(desk):
    mine = channel_of(desk[1], "jsons://chat.example/secret-token")
    other = channel_of(desk[1], "jsons://chat.example/other", "ben")

    assert "secret-token" not in str(ChatChannel.objects.values().get(pk=mine.pk))
    assert "secret-token" not in str(list(Entry.objects.values()))
    assert ChatChannel.objects.get(pk=mine.pk).address_in_clear() == "jsons://chat.example/secret-token"
    ChatChannel.objects.filter(pk=other.pk).update(address=mine.address)
    with pytest.raises(Undecryptable):
        ChatChannel.objects.get(pk=other.pk).address_in_clear()


def test_one_person_has_a_handful_of_channels_and_only_their_own(desk):
    channel = channel_of(desk[1], "jsons://chat.example/1")
    for number in range(keeping.MOST_OF_ONE_PERSON - 1):
        channel_of(desk[1], f"jsons://chat.example/{number}")

    with pytest.raises(TooManyChannels):
        channel_of(desk[1], "jsons://chat.example/6")
    for who in (desk[1].ben, desk[1].tomasz):
        with pytest.raises(ChatChannel.DoesNotExist):
            keeping.remove(channel.pk, by=who.memberships.get())
