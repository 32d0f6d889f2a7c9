import os
import pwd
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url as parse_redis_url

from opsdesk.embedded import addresses

LONGEST_ON_LINUX = 107


@pytest.fixture(autouse=True)
def nothing_remembered():
    addresses._places.cache_clear()
    yield
    addresses._places.cache_clear()


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(addresses, "server_account", lambda: pwd.getpwnam("nobody"))


@pytest.fixture
def as_ordinary_user(monkeypatch):
    monkeypatch.setattr(addresses, "server_account", lambda: None)


@pytest.mark.parametrize("name", ["plain", "with space", "per%cent", "ümlaut", "question?mark#hash"])
def test_clients_read_the_path_that_was_meant(monkeypatch, name):
    monkeypatch.setenv("OPSDESK_VAR", f"/usr/{name}")
    sockets = addresses.places().sockets

    assert conninfo_to_dict(addresses.database_url())["host"] == str(sockets)
    assert parse_redis_url(addresses.redis_url())["path"] == str(sockets / "valkey.sock")


@pytest.mark.parametrize("length", [10, 85, 95, 104, 107, 108, 250])
@pytest.mark.parametrize("account", ["as_root", "as_ordinary_user"])
def test_no_socket_path_is_too_long_for_the_kernel(request, account, length):
    request.getfixturevalue(account)
    var = Path("/usr") / ("d" * (length - 5))

    where = addresses.places(var)

    for name in (addresses.POSTGRES_SOCKET, addresses.VALKEY_SOCKET):
        assert len(os.fsencode(where.sockets / name)) <= LONGEST_ON_LINUX


def test_two_desks_with_long_paths_do_not_meet(as_ordinary_user):
    first, second = (addresses.places(Path("/usr") / (letter * 200)) for letter in "ab")

    assert first.sockets != second.sockets


def test_root_stays_in_a_folder_that_the_database_account_can_reach(as_root):
    where = addresses.places(Path("/usr/opsdesk-not-there"))

    assert not where.relocated
    assert where.postgres == Path("/usr/opsdesk-not-there/postgres")


def test_root_moves_out_of_a_closed_home(as_root, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    where = addresses.places(home / "desk" / "var")

    assert where.relocated
    assert where.postgres.parent == where.elsewhere == where.sockets.parent
    assert where.var == where.valkey.parent == home / "desk" / "var"


def test_an_ordinary_user_never_moves(as_ordinary_user, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    assert not addresses.places(home / "var").relocated


def test_a_desk_that_moved_once_stays_when_the_folders_are_opened(as_root, monkeypatch, tmp_path):
    monkeypatch.setattr(addresses, "ELSEWHERE", tmp_path / "elsewhere")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    moved = addresses.places(home / "var")
    moved.postgres.mkdir(parents=True)
    addresses._places.cache_clear()
    monkeypatch.setattr(addresses, "reachable", lambda path, account: True)

    assert addresses.places(home / "var") == moved
