import io
import sys

import pytest
from django.core.management import CommandError, call_command

from opsdesk.embedded import addresses, preflight
from opsdesk.embedded.postgres import Postgres


@pytest.fixture
def desk(var, where, monkeypatch, start):
    """A desk that was started once and is stopped."""
    monkeypatch.setenv("OPSDESK_VAR", str(var))
    preflight.identify(where)
    start(Postgres(where, forgetful=True))
    return where


def answer(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_it_removes_the_desk_and_what_stands_elsewhere(desk, monkeypatch):
    answer(monkeypatch, "yes\n")

    call_command("reset")

    assert not desk.var.exists()
    assert not desk.postgres.exists()
    assert not desk.sockets.exists()


@pytest.mark.parametrize("text", ["no\n", "\n", ""])
def test_without_a_yes_nothing_is_thrown_away(desk, monkeypatch, text):
    answer(monkeypatch, text)

    with pytest.raises(CommandError, match="Nothing was thrown away"):
        call_command("reset")

    assert (desk.postgres / "PG_VERSION").exists()


def test_a_running_desk_is_not_reset(desk):
    with preflight.sole_holder(desk.var), pytest.raises(CommandError, match="already running"):
        call_command("reset", "--yes")

    assert (desk.postgres / "PG_VERSION").exists()


def test_a_folder_that_no_desk_made_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "letters").mkdir()
    monkeypatch.setenv("OPSDESK_VAR", str(tmp_path))

    call_command("reset", "--yes")

    assert (tmp_path / "letters").exists()


def test_the_project_itself_is_never_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr("opsdesk.management.commands.reset.ROOT", tmp_path / "project")
    monkeypatch.setenv("OPSDESK_VAR", str(tmp_path))
    (tmp_path / preflight.IDENTITY).write_text("0123\n")

    with pytest.raises(CommandError, match="holds more than the data"):
        call_command("reset", "--yes")

    assert tmp_path.exists()
    assert addresses.places().var == tmp_path
