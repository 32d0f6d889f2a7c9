"""A review that most tests of decisions are about."""

import pytest

from accounts.models import Organization
from approvals.models import Review
from tests.factories import Cast, make_case, make_review


@pytest.fixture
def review(cast: Cast) -> Review:
    """141.48 wait for one vote of the refunds team: Ada, Ben, or Maya."""
    return make_review(make_case(Organization.objects.get()), assignee=cast.ada)
