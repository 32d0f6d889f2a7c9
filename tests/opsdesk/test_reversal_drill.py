"""The drill: every declared reversal against the real sandbox, what came of it on a page, and the alarm."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from integrations.http import addresses
from integrations.models import Call
from opsdesk.drill import rehearsals, running
from opsdesk.lib import clock
from opsdesk.models import DrillResult, ReversalDrill
from opsdesk.watch.drills import reversals_rotten
from opsdesk.watch.findings import Moment
from tests.approvals.desk import signed_in
from tests.factories import at, make_desk
from workflows.models import Case

pytestmark = pytest.mark.django_db
DECLARED = [("stripe", "refund"), ("webhook", "post")]


def found(*, watched: timedelta = timedelta(days=30)) -> dict[str, str]:
    moment = Moment(clock.now(), clock.now() - watched)
    return {finding.subject: finding.words for finding in reversals_rotten(moment)}


def test_everything_that_is_declared_is_taken_back_in_the_sandbox(capsys: pytest.CaptureFixture[str]):
    call_command("reversal", "drill")

    drill = ReversalDrill.objects.get()
    results = {(row.connector, row.operation): row for row in drill.results.all()}
    assert sorted(results) == DECLARED
    assert all(row.works and row.calls >= 5 for row in results.values())
    assert (drill.tried, drill.failed) == (2, 0)
    assert "All 2 declared reversals work" in capsys.readouterr().out
    # Nothing of it stands in the desk, and nothing is let through afterwards.
    assert (Call.objects.count(), Case.objects.count()) == (0, 0)
    assert addresses._for_now.get() == ()
    assert running.run_if_due() == 0
    assert ReversalDrill.objects.count() == 1
    assert found() == {}


def test_what_no_longer_works_is_named_raises_the_alarm_and_fails_the_command(monkeypatch: pytest.MonkeyPatch):
    def as_before(self: Any, intent: Any) -> Any:
        return self._canceled(intent, self._get(self._refund_path(intent), "read refund"))

    from integrations.connectors.stripe.connector import StripeGateway

    monkeypatch.setattr(StripeGateway, "_cancel", as_before)
    monkeypatch.delitem(rehearsals.SETTINGS, ("webhook", "post"))

    with pytest.raises(CommandError, match="2 of 2"):
        call_command("reversal", "drill")

    words = found()
    assert set(words) == {"stripe/refund", "webhook/post"}
    assert "shows it as failed" in words["stripe/refund"]
    assert "does not know how" in words["webhook/post"]
    page = signed_in(make_desk()[1].ada).get(reverse("reversals")).content.decode()
    assert page.count("does not work") == 2


def test_a_sandbox_that_does_not_start_is_a_drill_that_failed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opsdesk.drill.world.sys.executable", "/bin/false")

    drill = running.run()

    assert (drill.tried, drill.failed) == (2, 2)
    assert "did not start" in DrillResult.objects.first().words


def test_a_drill_that_is_too_old_raises_the_alarm_and_says_so_on_its_page():
    drill = ReversalDrill.objects.create(ended_at=clock.now())
    assert found() == {}

    at(drill, begun_at=clock.now() - timedelta(days=4))

    assert "last tried 4 d" in found()["drill"]
    assert found(watched=timedelta(hours=1)) == {}
    page = signed_in(make_desk()[1].ines).get(reverse("reversals")).content.decode()
    assert "too old to rely on" in page
