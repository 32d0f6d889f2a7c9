"""Writing many changed rows by one statement: the named fields of the named rows, and nothing else."""

from datetime import UTC, datetime

import pytest

from opsdesk.lib.rows import write_changes
from tests.factories import make_case, make_desk, make_organization, make_review, make_run
from tests.plugins.pages import statements
from workflows.models import Case, Run
from workflows.states import RunState

pytestmark = pytest.mark.django_db
AWKWARD = 'O\'Neill "%s" {0} \\ ; DROP TABLE workflows_case; -- 💥'


def test_named_fields_are_written_and_others_are_left_alone():
    organization = make_organization()
    rows = [make_case(organization, party_name="Before", standing="Before") for _ in range(3)]
    untouched = make_case(organization, party_name="Before")
    for number, row in enumerate(rows):
        row.party_name, row.standing = f"After {number}", "After"

    with statements() as asked:
        written = write_changes(rows, ["party_name"])

    assert (written, len(asked)) == (3, 1)
    assert list(Case.objects.order_by("pk").values_list("party_name", "standing")) == [
        ("After 0", "Before"),
        ("After 1", "Before"),
        ("After 2", "Before"),
        ("Before", untouched.standing),
    ]


def test_every_type_of_column_arrives_as_it_was():
    organization, _ = make_desk()
    case, run = make_case(organization), make_run(make_case(organization), state=RunState.WAITING)
    moment = datetime(2027, 3, 28, 1, 30, 0, 123_456, tzinfo=UTC)
    case.party_name, case.amount_minor, case.requested_at = AWKWARD[:80], None, moment
    case.data = {"text": AWKWARD, "nothing": None, "list": [1, {"a": "½"}]}
    run.case, run.facts, run.wake_at = case, {"amount": {"value": 10**15}}, moment

    assert write_changes([case], ["party_name", "amount_minor", "requested_at", "data", "problems"]) == 1
    assert write_changes([run], ["case", "facts", "wake_at"]) == 1

    stored = Case.objects.get(pk=case.pk)
    assert (stored.party_name, stored.amount_minor, stored.requested_at) == (AWKWARD[:80], None, moment)
    assert stored.data == case.data
    kept = Run.objects.get(pk=run.pk)
    assert (kept.case_id, kept.facts, kept.wake_at) == (case.pk, run.facts, moment)


def test_a_person_can_be_put_in_and_taken_out():
    organization, cast = make_desk()
    given, taken = (make_review(make_case(organization), assignee=who) for who in (None, cast.ada))
    given.assignee, taken.assignee = cast.ben, None

    write_changes([given, taken], ["assignee"])

    given.refresh_from_db()
    taken.refresh_from_db()
    assert (given.assignee, taken.assignee) == (cast.ben, None)


def test_rows_that_are_gone_are_not_counted_and_none_come_back():
    organization = make_organization()
    gone, there = make_case(organization), make_case(organization)
    Case.objects.filter(pk=gone.pk).delete()
    for row in (gone, there):
        row.standing = "After"

    assert write_changes([gone, there], ["standing"]) == 1
    assert list(Case.objects.values_list("pk", "standing")) == [(there.pk, "After")]


def test_no_rows_cost_no_statement():
    with statements() as asked:
        assert write_changes([], ["standing"]) == 0

    assert len(asked) == 0
