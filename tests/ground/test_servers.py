import os
import shutil
import signal
from pathlib import Path

import psycopg
import pytest
import redis
from kombu import Connection

from opsdesk.embedded import addresses, preflight, processes
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.valkey import Valkey
from tests.plugins.servers import throw_away

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's database runs as somebody else")


def query(where, sql, *values):
    with psycopg.connect(host=str(where.sockets), user="opsdesk", dbname="opsdesk", autocommit=True) as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("name", ["a desk, 100% & more"])
def test_all_clients_reach_the_servers_under_an_awkward_name(var, where, monkeypatch, start):
    monkeypatch.setenv("OPSDESK_VAR", str(var))
    start(Postgres(where, forgetful=True))
    start(Valkey(where, forgetful=True))

    with psycopg.connect(addresses.database_url(owner=True)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("opsdesk",)
    assert redis.from_url(addresses.redis_url()).ping()
    with Connection(addresses.broker_url()) as broker:
        broker.SimpleQueue("ring").put({"look": "now"})
    assert redis.from_url(addresses.redis_url().replace("db=0", "db=1")).llen("ring") == 1


def test_rows_survive_the_killing_of_the_database(where, start):
    server = start(Postgres(where))
    query(where, "CREATE TABLE note (text text)")
    query(where, "INSERT INTO note VALUES (%s)", "kept")

    server.kill()
    server.wait()
    start(Postgres(where))

    assert query(where, "SELECT text FROM note") == [("kept",)]


def test_a_cluster_from_before_gets_the_role_of_the_desks_processes(where, start):
    start(Postgres(where, forgetful=True))
    query(where, "DROP ROLE opsdesk_desk")

    assert Postgres(where).ready()

    rights = "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'opsdesk_desk'"
    assert query(where, rights) == [(True, False, False, False)]


def test_queued_work_survives_the_killing_of_the_broker(where, start):
    server = start(Valkey(where))
    client = redis.Redis(unix_socket_path=str(Valkey(where).address))
    client.rpush("queue", *range(50))

    server.kill()
    server.wait()
    start(Valkey(where))

    assert client.llen("queue") == 50


def test_a_cluster_that_was_half_made_is_made_again(where, start):
    half = where.postgres.with_suffix(".half")
    half.parent.mkdir(parents=True, exist_ok=True)
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    start(Postgres(where, forgetful=True))

    assert query(where, "SELECT 1") == [(1,)]
    assert not half.exists()


def test_an_older_pid_file_that_names_a_stranger_is_no_obstacle(where, start):
    server = start(Postgres(where, forgetful=True))
    server.kill()
    server.wait()
    pid_file = where.postgres / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]))

    assert not Postgres(where).clear_leftover()
    start(Postgres(where, forgetful=True))

    assert query(where, "SELECT 1") == [(1,)]


def test_servers_without_a_supervisor_are_found_and_stopped(where, start):
    servers = [start(Postgres(where)), start(Valkey(where))]

    assert sorted(preflight.clear_leftovers(where)) == ["postgres", "valkey"]

    assert [server.wait(5) for server in servers] == [0, 0]
    assert processes.left_behind(where.var) == {}


def test_the_database_of_another_account_is_refused_in_one_sentence(where, monkeypatch):
    where.postgres.mkdir(parents=True)
    monkeypatch.setattr(Postgres, "_owner", lambda self: os.geteuid() + 1)

    with pytest.raises(processes.CannotStart, match="belongs to another account"):
        Postgres(where).prepare()


@only_root
def test_root_runs_the_database_as_nobody_outside_a_closed_home(tmp_path, var, where, start):
    tmp_path.chmod(0o700)

    server = start(Postgres(where, forgetful=True))

    assert where.postgres.owner() == "nobody"
    assert addresses.ELSEWHERE in where.postgres.parents
    assert Path(f"/proc/{server.pid}").stat().st_uid == addresses.server_account().pw_uid
    assert query(where, "SELECT 1") == [(1,)]
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert not (var / "postgres").exists()


@only_root
def test_files_move_along_when_their_folder_is_closed_later(tmp_path, start):
    outside = addresses.ELSEWHERE.parent / f"opsdesk-test-{os.getpid()}"
    outside.mkdir(mode=0o755)
    var = outside / "var"
    var.mkdir()
    after = before = addresses.places(var)
    try:
        server = start(Postgres(before))
        query(before, "CREATE TABLE note (text text)")
        server.send_signal(signal.SIGINT)
        server.wait()
        outside.chmod(0o700)
        addresses._places.cache_clear()
        after = addresses.places(var)

        start(Postgres(after))

        assert after.relocated
        assert query(after, "SELECT count(*) FROM note") == [(0,)]
    finally:
        preflight.clear_leftovers(after)
        throw_away(after)
        shutil.rmtree(outside)
