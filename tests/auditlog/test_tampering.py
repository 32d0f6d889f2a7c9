"""What the tables' owner can do to the log is found, and the first broken place is named."""

import json
import re
from collections.abc import Callable

import pytest
from django.core.management import call_command

from auditlog.models import Entry, Seal, Verification
from auditlog.seals import handing, heads
from auditlog.seals.verifying import verify
from tests.auditlog.sealed import alone, close, exchange, say, tell

organization = pytest.fixture(alone)


@pytest.fixture
def log(organization, heads_outside) -> list[int]:
    """Forty entries under four seals, and the head of the newest outside; gives the entries' keys."""
    rows = tell(organization, 40)
    close()
    handing.hand_out()
    return [row.pk for row in rows]


def edit(keys: list[int]) -> str:
    say("UPDATE auditlog_entry SET reason = 'Nothing to see.' WHERE id = %s", keys[14])
    return f"Entry {keys[14]} was changed after seal 2 of "


def cut_in_the_middle(keys: list[int]) -> str:
    say("DELETE FROM auditlog_entry WHERE id BETWEEN %s AND %s", keys[12], keys[15])
    return f"Entry {keys[12]} is missing: it was there when seal 2 of "


def cut_of_the_newest(keys: list[int]) -> str:
    say("DELETE FROM auditlog_entry WHERE id > %s", keys[29])
    say("DELETE FROM auditlog_seal WHERE number = 4")
    return "The end is cut off: the head of seal 4 was handed out on "


def swap(keys: list[int]) -> str:
    exchange("auditlog_entry", ("reason", "after", "subject_id"), keys[20], keys[31])
    return f"Entry {keys[20]} was changed after seal 3 of "


def back_date(keys: list[int]) -> str:
    say("UPDATE auditlog_entry SET at = at - interval '1 day' WHERE id = %s", keys[25])
    _make_seals_anew()
    return "The log was made anew between seal 1 and seal 4: the head of seal 4 that was handed out on "


def recompute(keys: list[int]) -> str:
    say("UPDATE auditlog_entry SET after = '{}' WHERE id = %s", keys[35])
    _make_seals_anew()
    return "The log was made anew between seal 1 and seal 4: the head of seal 4 that was handed out on "


def _make_seals_anew() -> None:
    say("DELETE FROM auditlog_seal")
    close()


ATTACKS = (edit, cut_in_the_middle, cut_of_the_newest, swap, back_date, recompute)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_whatever_the_owner_does_is_found_and_named(log, attack: Callable[[list[int]], str], capsys):
    assert verify(heads.of_this_machine()).found == ""
    place = attack(log)

    with pytest.raises(SystemExit) as ended:
        call_command("audit", "verify")

    assert ended.value.code == 1
    assert f"BROKEN  {place}" in capsys.readouterr().out
    assert Verification.objects.get().found.startswith(place)


@pytest.mark.parametrize(
    ("attack", "place"),
    [
        ("DELETE FROM auditlog_seal WHERE number = 2", "Seal 2 is missing: after seal 1 follows seal 3."),
        ("DELETE FROM auditlog_seal WHERE number = 1", "Seal 1 is missing: after seal 0 follows seal 2."),
        ("UPDATE auditlog_seal SET sealed_at = now() WHERE number = 3", "Seal 3 was changed: its head"),
        ("UPDATE auditlog_seal SET leaves = leaves || leaves WHERE number = 3", "Seal 3 was changed: its hashes"),
        ("UPDATE auditlog_seal SET previous = '\\x00' WHERE number = 3", "Seal 3 does not follow seal 2"),
        ("UPDATE auditlog_entry SET salt = NULL WHERE id % 10 = 3", "Entry "),
    ],
)  # fmt: skip
def test_seals_are_watched_as_well(log, attack: str, place: str):
    say(attack)

    assert verify().found.startswith(place)


def test_an_entry_slipped_in_between_is_named(log, organization):
    gap = tell(organization, 3)[1].pk
    say("DELETE FROM auditlog_entry WHERE id = %s", gap)
    close()
    assert verify().found == ""
    say("UPDATE auditlog_entry SET id = %s WHERE id = %s", gap, tell(organization, 1)[0].pk)

    assert re.match(rf"Entry {gap} was added after seal 5 of ", verify().found)


def test_heads_from_elsewhere_are_read_and_odd_ones_refused(log, tmp_path, capsys):
    kept = tmp_path / "kept"
    kept.write_text(heads.line_about(Seal.objects.get(number=3)) + "\n\n")
    call_command("audit", "verify", "--heads", str(kept))
    assert "The log is whole: 4 seals over 40 entries and 1 heads" in capsys.readouterr().out

    kept.write_text(json.dumps({"seal": 3, "head": "00" * 32, "sealed_at": "noon"}))
    with pytest.raises(SystemExit):
        call_command("audit", "verify", "--heads", str(kept))
    assert "between seal 1 and seal 3: the head of seal 3 that was handed out on noon" in capsys.readouterr().out

    kept.write_text("[]")
    with pytest.raises(Exception, match=r"line 1 of .* is not a head"):
        call_command("audit", "verify", "--heads", str(kept))


def test_a_column_that_an_old_entry_lacks_changes_nothing_for_it(log):
    say("SET CONSTRAINTS ALL IMMEDIATE")  # or the table could not be altered in this transaction
    say("ALTER TABLE auditlog_entry ADD COLUMN later text")
    assert verify().found == ""
    say("UPDATE auditlog_entry SET later = 'forged' WHERE id = %s", log[3])

    assert verify().found.startswith(f"Entry {log[3]} was changed")
    assert Entry.objects.count() == 40
