import errno
import os
import shutil
import socket
from types import SimpleNamespace

import pytest

from opsdesk.embedded import addresses, preflight
from opsdesk.embedded.processes import CannotStart


def test_a_port_in_use_is_named_with_the_setting_that_moves_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CannotStart, match=f"Port {port} is in use: .* set OPSDESK_PORT to another"):
            preflight.ports_are_free({"OPSDESK_PORT": port})


def test_a_port_that_was_just_given_back_is_free():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server of the desk does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()

    preflight.ports_are_free({"OPSDESK_PORT": port})


@pytest.mark.parametrize(
    ("megabytes", "started_before", "enough"),
    [(399, False, False), (401, False, True), (99, True, False), (101, True, True)],
)
def test_too_little_space_is_seen_before_anything_is_written(where, monkeypatch, megabytes, started_before, enough):
    if started_before:
        where.postgres.mkdir(parents=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=megabytes * preflight.MEGABYTE))

    if enough:
        preflight.space_is_left(where)
    else:
        with pytest.raises(CannotStart, match=f"too little space left: {megabytes} MB"):
            preflight.space_is_left(where)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "There is no space left for /var/x"), (errno.EACCES, "/var/x cannot be written by this account")],
)
def test_what_the_machine_refuses_becomes_a_sentence(number, sentence):
    with pytest.raises(CannotStart, match=sentence), preflight.plain_words():
        raise OSError(number, os.strerror(number), "/var/x")


def test_other_errors_of_the_machine_stay_what_they_are():
    with pytest.raises(InterruptedError), preflight.plain_words():
        raise InterruptedError


def test_the_lock_is_free_again_when_its_holder_is_gone(var):
    with (
        preflight.sole_holder(var),
        pytest.raises(CannotStart, match=f"process {os.getpid()}"),
        preflight.sole_holder(var),
    ):
        pass

    with preflight.sole_holder(var):
        pass


def test_data_of_an_earlier_desk_in_the_same_folder_is_put_aside_not_used(where, monkeypatch, tmp_path):
    monkeypatch.setattr(addresses, "ELSEWHERE", tmp_path / "elsewhere")
    moved = addresses.Places(where.var, tmp_path / "elsewhere" / "desk", relocated=True, sockets=where.sockets)
    preflight.identify(moved)
    (moved.elsewhere / "postgres").mkdir()
    first = preflight.identity_of(where.var)
    (where.var / preflight.IDENTITY).unlink()  # the clone was thrown away and made again

    note = preflight.identify(moved)

    aside = moved.elsewhere.with_name(f"desk-{first}")
    assert (aside / "postgres").exists()
    assert str(aside) in note
    assert not moved.postgres.exists()
    assert preflight.identity_of(moved.elsewhere) == preflight.identity_of(where.var) != first


def test_starting_again_puts_nothing_aside(where):
    preflight.identify(where)

    assert preflight.identify(where) is None
