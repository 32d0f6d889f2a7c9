"""Heads of the audit log, posted outside through the one door."""

from urllib.parse import urlsplit

import pytest

from auditlog.models import Handing
from auditlog.seals import handing
from auditlog.seals.heads import line_about
from integrations.models import Call, Endpoint
from integrations.secrets import encrypt
from integrations.signatures import verify as verify_signature
from opsdesk.lib import clock
from tests import factories
from tests.auditlog.sealed import close, tell
from tests.integrations.receiver import receiver

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1ub3Rhcnk="


@pytest.fixture
def seal(db):
    tell(factories.make_organization(), 2)
    [made] = close()
    return made


def test_a_head_is_posted_and_signed(seal, settings):
    with receiver() as notary:
        settings.OUTBOUND_EXCEPTIONS = [urlsplit(notary.url).netloc]
        settings.HEADS, settings.HEADS_SECRET = {"webhook": f"{notary.url}/heads"}, SECRET
        [row] = handing.hand_out()
        notary.wrong = [500]
        [again] = handing.hand_out(at_once=True)

    assert (row.trouble, row.target) == ("", urlsplit(notary.url).netloc + "/heads")
    headers, body = notary.posts[0]
    assert body.decode() == line_about(seal)
    organization = factories.make_organization("other")
    door = Endpoint(organization=organization, slug="notary", scheme="standard", secret=encrypt(SECRET))
    assert verify_signature(door, headers, body, clock.now())
    assert "answered 500" in again.trouble
    assert not Call.objects.exists()


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/heads", "http://169.254.169.254/heads", "ftp://notary", "nonsense"]
)
def test_an_address_inside_is_refused(seal, settings, target):
    settings.OUTBOUND_EXCEPTIONS, settings.HEADS = [], {"webhook": target}

    [row] = handing.hand_out()

    assert row.trouble and not Handing.objects.filter(trouble="").exists()
