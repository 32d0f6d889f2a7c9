"""Very many cases: real enough to be found and decided, and never beside somebody's own."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from approvals import services
from approvals.models import ReasonCode, Review
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from integrations.models import Payment
from opsdesk.demo import cast, organization
from tests import factories
from workflows.models import Case, Run

pytestmark = pytest.mark.django_db


def load(cases: int, waiting: int) -> str:
    said = StringIO()
    call_command("load_many", "--cases", str(cases), "--open", str(waiting), stdout=said)
    return said.getvalue()


def test_as_many_as_asked_for_are_there_and_the_open_ones_can_be_decided():
    organization.set_up()

    assert "40 of these" in load(40, 12)
    load(60, 5)

    assert Case.objects.count() == Run.objects.count() == Payment.objects.count() == 60
    assert Review.objects.filter(state=ReviewState.OPEN).count() == Case.objects.open().count() == 17
    review = Review.objects.filter(state=ReviewState.OPEN).order_by("pk")[0]
    code = ReasonCode.objects.filter(verdict=Verdict.APPROVE, text_needed=False)[0]
    ada = User.objects.get(username="ada")
    done = services.decide(
        review.pk, voter=ada, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash
    )
    assert done.state == ReviewState.APPROVING


def test_a_second_time_adds_nothing():
    organization.set_up()
    load(30, 3)
    newest = Case.objects.values_list("pk", flat=True)[0]

    load(30, 3)

    assert Case.objects.values_list("pk", flat=True)[0] == newest


def test_it_is_refused_beside_real_data(settings):
    with pytest.raises(CommandError, match="run load_demo first"):
        load(10, 1)
    factories.make_organization(cast.ORGANIZATION)
    factories.make_organization("of-somebody")
    with pytest.raises(CommandError, match="more than the demonstration: Of Somebody"):
        load(10, 1)
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="in production"):
        load(10, 1)

    assert not Case.objects.exists()
