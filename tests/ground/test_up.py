"""The whole desk by its one command, as the person at the terminal meets it."""

import http.client
import signal
import socket

import psycopg
import pytest

from opsdesk.embedded.processes import alive
from tests.chaos.whole_desk import OPENS_WITHIN
from tests.plugins.desk import RunningDesk

SERVICES = ["beat", "jobs", "postgres", "valkey", "web", "worker"]
WITHOUT_DEMO = ("manage.py", "up", "--without-demo")


def answers(desk):
    page = http.client.HTTPConnection("127.0.0.1", desk.ports["OPSDESK_PORT"], timeout=5)
    try:
        page.request("GET", "/sign-in/")
        return page.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        page.close()


def everything_runs(desk):
    return sorted(desk.processes()) == SERVICES


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A desk without the demonstration, open for these tests."""
    with RunningDesk(tmp_path_factory.mktemp("desk"), program=WITHOUT_DEMO) as running:
        running.wait_for("The desk is open", seconds=OPENS_WITHIN)
        running.wait_until(lambda: everything_runs(running), "not every service came up")
        yield running


def test_the_page_answers_when_the_desk_says_it_is_open(desk):
    assert answers(desk)
    assert f"The desk is open: {desk.url}/" in desk.output


def test_without_the_demonstration_there_is_nothing_of_it(desk):
    assert "sign in as" not in desk.output
    with socket.socket() as line:
        assert line.connect_ex(("127.0.0.1", desk.ports["OPSDESK_GATEWAY_PORT"])) != 0


def test_its_processes_own_nothing(desk):
    there = {"host": str(desk.places.sockets), "dbname": "opsdesk", "autocommit": True}
    with psycopg.connect(user="opsdesk", **there) as owner:
        asked = (
            "SELECT DISTINCT usename FROM pg_stat_activity "
            "WHERE datname = 'opsdesk' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        seen: set[tuple[str]] = set()
        desk.wait_until(lambda: seen.update(owner.execute(asked)) or seen, "no process was at the database", seconds=60)
        assert seen == {("opsdesk_desk",)}

    with psycopg.connect(user="opsdesk_desk", **there) as process:
        for attack in ("DELETE FROM auditlog_entry", "ALTER TABLE auditlog_seal DISABLE TRIGGER ALL"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                process.execute(attack)


def test_a_second_start_in_the_same_folder_is_refused_in_one_sentence(desk):
    with RunningDesk(desk.var.parent, program=WITHOUT_DEMO, clean_up=False) as second:
        assert second.wait_for_end() == 1

    (sentence,) = second.output.splitlines()
    assert f"This desk is already running (process {desk.process.pid})" in sentence
    assert answers(desk)


@pytest.mark.parametrize("service", ["web", "worker", "valkey", "postgres"])
def test_a_killed_service_comes_back(desk, service):
    victim = desk.leader(service)

    victim.kill()

    desk.wait_until(
        lambda: not alive(victim) and everything_runs(desk) and answers(desk),
        f"{service} did not come back",
        seconds=60,
    )


def test_a_used_port_is_refused_in_one_sentence(desk, tmp_path):
    taken = str(desk.ports["OPSDESK_PORT"])
    with RunningDesk(tmp_path, program=WITHOUT_DEMO, OPSDESK_PORT=taken) as second:
        assert second.wait_for_end() == 1

    assert second.output.splitlines() == [
        f"CommandError: Port {taken} is in use: end what listens there, or set OPSDESK_PORT to another."
    ]


def test_an_odd_port_is_refused_in_one_sentence(tmp_path):
    with RunningDesk(tmp_path, OPSDESK_PORT="http") as up:
        assert up.wait_for_end() == 1

    assert up.output == "The settings are not right: OPSDESK_PORT must be the number of a port, not 'http'.\n"


def test_production_wants_real_servers(tmp_path):
    production = {"OPSDESK_PRODUCTION": "1", "OPSDESK_ALLOWED_HOSTS": "desk.example", "OPSDESK_SECRET_KEY": "k" * 60}
    with RunningDesk(tmp_path, OPSDESK_FIELD_KEYS="b25seS1mb3ItYS1sYXB0b3AtMzItYnl0ZXMta2V5ISE=", **production) as up:
        assert up.wait_for_end() == 1

    (sentence,) = up.output.splitlines()
    assert "DATABASE_URL must name a real server when OPSDESK_PRODUCTION=1" in sentence
    assert not up.places.postgres.exists()


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://desk:secret@127.0.0.1:1/desk"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:1/0"),
        ("BROKER_URL", "redis://:secret@127.0.0.1:1/1"),
        ("BROKER_URL", "amqp://desk:secret@127.0.0.1:1/desk"),
    ],
)
def test_a_given_server_that_does_not_answer_is_named(tmp_path, name, url):
    with RunningDesk(tmp_path, program=WITHOUT_DEMO, **{name: url}) as up:
        assert up.wait_for_end() == 1

    (sentence,) = up.output.splitlines()
    assert sentence.startswith(f"CommandError: The server in {name} does not let us in:")
    assert "secret" not in sentence


def test_killed_and_started_again_it_clears_up_and_keeps_the_data(desk):
    with psycopg.connect(host=str(desk.places.sockets), user="opsdesk", dbname="opsdesk") as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    desk.process.kill()
    desk.process.wait()
    assert desk.processes()

    desk.output = ""
    desk.start()

    desk.wait_for("The desk is open", seconds=OPENS_WITHIN)
    assert "left behind by a desk that was killed" in desk.output
    with psycopg.connect(host=str(desk.places.sockets), user="opsdesk", dbname="opsdesk") as connection:
        assert connection.execute("SELECT text FROM note").fetchall() == [("kept",)]


def test_ctrl_c_leaves_no_process(desk):
    assert desk.stop(signal.SIGINT) == 0

    assert desk.processes() == {}
    assert not answers(desk)
