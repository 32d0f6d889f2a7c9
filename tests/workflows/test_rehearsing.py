"""A pack is tried before it is imported: what is wrong is said with its line, what would change in words."""

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from auditlog.models import Entry
from tests.definitions import PACK, make_organization, make_tiers
from workflows.models import RuleSet, Workflow, WorkflowVersion
from workflows.publishing import publish_pack
from workflows.rehearsing import rehearse

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    organization = make_organization()
    make_tiers(organization)
    return organization


def line_of(text: str, pack: str = PACK) -> int:
    """The line of the pack in which this stands first."""
    return next(number for number, line in enumerate(pack.splitlines(), start=1) if text in line)


def test_a_sound_pack_says_what_it_would_bring_and_leaves_nothing(acme):
    found = rehearse(acme, PACK)

    assert found.wrong == []
    assert [change.words for change in found.changes] == [
        "A new workflow “Refunds” (refund) is made.",
        "refund v1 is drafted; nothing of its kind is in force yet.",
        "refund rules v1 is drafted; nothing of its kind is in force yet.",
    ]
    assert not (Workflow.objects.exists() or Entry.objects.exists())


def test_what_would_change_is_told_against_what_is_in_force(acme):
    publish_pack(acme, PACK, by=None, reason="Works")
    told = Entry.objects.count()
    pack = PACK.replace("name: Refunds", "name: Money back").replace("value: 4}", "value: 3}", 1)
    pack = pack.replace("case_kind: refund", "priority: 40\ncase_kind: refund")

    found = rehearse(acme, pack)

    assert found.wrong == []
    kept, version, rules = found.changes
    assert kept.words == "The workflow keeps its name “Refunds”, not “Money back”."
    assert version.words == "refund v2 is drafted. Against refund v1, which is in force:"
    assert version.differs == ("The priority changed from 50 to 40.",)
    assert len(rules.differs) == 1 and "now holds when" in rules.differs[0]
    assert (WorkflowVersion.objects.count(), RuleSet.objects.count(), Entry.objects.count()) == (1, 1, told)
    assert WorkflowVersion.objects.get().state == RuleSet.objects.get().state == "published"


def test_the_same_pack_again_changes_nothing(acme):
    publish_pack(acme, PACK, by=None, reason="Works")
    content = yaml.safe_load(PACK)
    del content["rules"]

    again, without = rehearse(acme, PACK), rehearse(acme, yaml.safe_dump(content, sort_keys=False))

    assert [change.words for change in again.changes] == [
        "refund v2 is drafted; it says the same as refund v1, which is in force.",
        "refund rules v2 is drafted; it says the same as refund rules v1, which is in force.",
    ]
    assert without.changes[-1].words == "The pack brings no rules: those in force stay."
    assert again.wrong == without.wrong == []


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("operation: refund", "operation: burn", "- key: refund", "step refund: "),
        ("connection: gateway", "connection: bank", "- key: refund", "step refund: there is no connection “bank”."),
        ("kind: approve", "kind: dance", "- key: approve", "step approve: there is no step kind “dance”"),
        ("fact: order.on_file", "fact: moon.phase", "- name: No order on file", "“No order on file”: There is no fact"),
        ("title: Refund asked", "colour: Refund asked", "- key: phone", "trigger phone: "),
        ("  - key: approve\n", "  - key: approve\n    then: x\n", "- key: approve", "step 3 has no “then”"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(acme, old, new, place, says):
    pack = PACK.replace(old, new, 1)

    wrong = rehearse(acme, pack).wrong

    assert any(text.startswith(f"Line {line_of(place, pack)}: {says}") for text in wrong), wrong
    assert not Workflow.objects.exists()


@pytest.mark.parametrize(
    ("pack", "says"),
    [("name: [", "Line 1: this is not YAML"), ("a: 1\na: 2", "Line 2: “a” is given twice"), ("", "A pack")],
)
def test_what_cannot_be_read_brings_nothing(acme, pack, says):
    found = rehearse(acme, pack)

    assert len(found.wrong) == 1 and found.wrong[0].startswith(says)
    assert found.changes == []


def test_the_command_says_the_same(acme, tmp_path: Path):
    file, said = tmp_path / "pack.yaml", StringIO()
    file.write_text(PACK, encoding="utf-8")

    call_command("check_pack", file, stdout=said)

    assert said.getvalue().splitlines()[-1] == "It could be published in Acme. Nothing was imported."
    file.write_text(PACK.replace("kind: approve", "kind: dance"), encoding="utf-8")
    with pytest.raises(CommandError, match="step approve: there is no step kind “dance”"):
        call_command("check_pack", file, organization="acme", stdout=said)
    with pytest.raises(CommandError, match="There is no organization “nowhere”"):
        call_command("check_pack", file, organization="nowhere", stdout=said)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("check_pack", tmp_path / "none.yaml", stdout=said)
