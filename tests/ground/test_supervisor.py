import signal
import time

import pytest

from opsdesk.embedded.processes import alive
from tests.plugins.desk import RunningDesk


@pytest.fixture
def little_desk(tmp_path):
    """Start a desk of small services; whatever the test does, none of them is left."""
    desks = []

    def started(what, *, until="all up"):
        desk = RunningDesk(tmp_path, program=["-m", "tests.ground.little_desk", str(tmp_path / "var"), what])
        desks.append(desk)
        desk.start()
        desk.wait_for(until)
        return desk

    yield started
    for desk in desks:
        desk.__exit__()


@pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_stop_it_leaves_no_process(little_desk, ask):
    desk = little_desk("plain")
    assert sorted(desk.processes()) == ["first", "second", "third"]

    assert desk.stop(ask) == 0

    assert desk.processes() == {}


def test_services_stop_in_the_opposite_order(little_desk):
    desk = little_desk("polite")
    desk.wait_for("here", times=3)

    desk.stop()

    farewells = [line for line in desk.output.splitlines() if line.endswith("| bye")]
    assert [line.split()[1].rstrip("|") for line in farewells] == ["third", "second", "first"]


def test_a_service_that_dies_comes_back_without_its_orphans(little_desk):
    desk = little_desk("plain")
    desk.wait_until(lambda: len(desk.processes()["second"]) == 2, "the child never came")
    before = {process.pid for process in desk.processes()["second"]}

    desk.leader("second").kill()

    desk.wait_for("second ended with signal 9, starts again in 0.5 s", seconds=60)
    desk.wait_until(lambda: len(desk.processes().get("second", [])) == 2, "it never came back", seconds=60)
    assert before.isdisjoint(process.pid for process in desk.processes()["second"])


def test_it_waits_longer_each_time_a_service_dies(little_desk):
    desk = little_desk("plain")

    for delay in ("0.5", "1.0", "2.0"):
        desk.wait_until(lambda: "third" in desk.processes(), "it never came back", seconds=60)
        desk.leader("third").kill()
        desk.wait_for(f"third ended with signal 9, starts again in {delay} s", seconds=60)


def test_a_service_that_ignores_the_signal_is_killed(little_desk):
    desk = little_desk("deaf")
    desk.wait_for("here", times=2)

    assert desk.stop() == 0

    assert "deaf did not end when asked and was killed" in desk.output
    assert desk.processes() == {}


def test_asked_twice_it_kills_at_once(little_desk):
    desk = little_desk("patient")
    desk.wait_for("here")
    desk.process.send_signal(signal.SIGINT)
    desk.wait_for("stopping")
    began = time.monotonic()

    desk.stop(signal.SIGINT)

    assert time.monotonic() - began < 10
    assert desk.processes() == {}


def test_a_task_that_is_done_is_not_repeated(little_desk):
    desk = little_desk("done")
    desk.wait_for("replay is done")

    time.sleep(1)

    assert desk.output.count("worked") == 1
    assert "starts again" not in desk.output


def test_a_failed_task_stops_the_start_with_its_last_words(little_desk):
    desk = little_desk("unlucky", until="everything is stopped")

    assert desk.wait_for_end() == 1

    assert desk.output.splitlines()[-1] == "task did not start, it ended with status 1: no luck"
    assert desk.processes() == {}


def test_an_endless_line_blocks_nobody(little_desk):
    desk = little_desk("talkative")

    desk.wait_for("after it")

    assert max(len(line) for line in desk.output.splitlines()) < 30_000


def test_what_a_killed_supervisor_left_is_cleared_by_the_next(little_desk):
    first = little_desk("plain")
    first.wait_for("here", times=4)  # after it nobody reads what they write
    first.process.kill()
    first.process.wait()
    left = [process for processes in first.processes().values() for process in processes]
    assert len(left) >= 3

    second = little_desk("plain")

    assert {"cleared first", "cleared second", "cleared third"} <= set(second.output.splitlines())
    assert not any(alive(process) for process in left)


def test_a_second_one_in_the_same_folder_says_so_and_ends(little_desk):
    first = little_desk("plain")

    second = little_desk("plain", until="already running")

    assert second.wait_for_end() == 1
    assert second.output.splitlines() == [
        f"This desk is already running (process {first.process.pid}): "
        f"use it, or stop it with `kill {first.process.pid}`."
    ]
    assert sorted(first.processes()) == ["first", "second", "third"]
