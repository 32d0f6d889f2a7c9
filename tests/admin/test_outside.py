"""Connections and endpoints in the admin: secrets go in and never come out."""

from datetime import timedelta

import pytest
from django.urls import reverse

from auditlog.models import Entry
from integrations.models import Connection, Endpoint
from integrations.secrets import decrypt, encrypt
from opsdesk.lib import clock
from tests.admin.conftest import signed_in

WHY = {"change_reason": "New key from the gateway"}
KEY, NEW_KEY = "sk_test_canary_one", "sk_test_canary_two"
SIGNING, NEW_SIGNING = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktMQ==", "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktMg=="


@pytest.fixture
def gateway(acme):
    Connection.objects.filter(organization=acme).update(base_url="https://api.example.com", secret=encrypt(KEY))
    return Connection.objects.get(organization=acme)


@pytest.fixture
def endpoint(acme, gateway):
    return Endpoint.objects.create(
        organization=acme, connection=gateway, slug="shop", scheme="standard", secret=encrypt(SIGNING)
    )


def page(row):
    return reverse(f"admin:integrations_{row._meta.model_name}_change", args=[row.pk])


def connection_data(**changes):
    kept = {"name": "Gateway", "connector": "stripe", "base_url": "https://api.example.com", "enabled": "on"}
    return {**kept, "new_secret": "", **WHY, **changes}


def endpoint_data(gateway, **changes):
    return {"connection": gateway.pk, "enabled": "on", "new_secret": "", "overlap_hours": "24", **WHY, **changes}


def field_errors(answer):
    return answer.context["adminform"].form.errors


def test_a_new_key_is_stored_encrypted_and_nowhere_shown(desk, gateway):
    answer = desk.post(page(gateway), connection_data(new_secret=NEW_KEY), follow=True)

    gateway.refresh_from_db()
    assert decrypt(gateway.secret) == NEW_KEY
    shown = answer.content.decode() + desk.get(page(gateway)).content.decode()
    kept = str(list(Entry.objects.values("before", "after", "reason")))
    for secret in (KEY, NEW_KEY, gateway.secret):
        assert secret not in shown + kept
    assert Entry.objects.get().after == {"secret": "not kept here, changed"}
    assert "stored, encrypted" in shown


def test_a_refused_form_does_not_show_the_key_either(desk, gateway):
    answer = desk.post(page(gateway), connection_data(new_secret=NEW_KEY, change_reason=""))

    assert answer.status_code == 200
    assert NEW_KEY not in answer.content.decode()


def test_an_empty_key_keeps_the_stored_one(desk, gateway):
    desk.post(page(gateway), connection_data(name="Renamed"))

    gateway.refresh_from_db()
    assert (gateway.name, decrypt(gateway.secret)) == ("Renamed", KEY)


def test_the_stored_key_never_goes_to_another_address(desk, gateway):
    refused = desk.post(page(gateway), connection_data(base_url="https://elsewhere.example.com"))
    gateway.refresh_from_db()
    before = gateway.base_url
    done = desk.post(page(gateway), connection_data(base_url="https://elsewhere.example.com", new_secret=NEW_KEY))
    gateway.refresh_from_db()

    assert "given for another address" in str(field_errors(refused)["new_secret"])
    assert before == "https://api.example.com"
    assert done.status_code == 302
    assert (gateway.base_url, decrypt(gateway.secret)) == ("https://elsewhere.example.com", NEW_KEY)


@pytest.mark.parametrize(
    "url",
    ["http://api.example.com", "ftp://api.example.com", "https://user@api.example.com", "https://", "file:///etc"],
)
def test_an_address_the_door_would_refuse_is_not_stored(desk, gateway, url):
    answer = desk.post(page(gateway), connection_data(base_url=url, new_secret=NEW_KEY))

    assert "base_url" in field_errors(answer)
    assert Connection.objects.get(pk=gateway.pk).base_url == "https://api.example.com"


def test_a_connector_needs_an_address_and_a_key_and_a_sender_needs_neither(desk, acme):
    add = reverse("admin:integrations_connection_add")
    given = {"organization": acme.pk, "slug": "bank", "base_url": "", "name": "Bank"}

    refused = desk.post(add, connection_data(**given))
    done = desk.post(add, connection_data(**given, connector="standard"))

    assert {"base_url", "new_secret"} <= set(field_errors(refused))
    assert done.status_code == 302
    assert Entry.objects.get().verb == "integrations.connection.added"


def test_the_form_cannot_start_sending_again(desk, gateway):
    Connection.objects.filter(pk=gateway.pk).update(acting_enabled=False, paused_reason="Wrong amounts")

    desk.post(page(gateway), connection_data(name="Renamed", acting_enabled="on", paused_reason=""))

    gateway.refresh_from_db()
    assert (gateway.name, gateway.acting_enabled, gateway.paused_reason) == ("Renamed", False, "Wrong amounts")


def test_old_and_new_signing_secret_overlap(desk, gateway, endpoint):
    desk.post(page(endpoint), endpoint_data(gateway, new_secret=NEW_SIGNING, overlap_hours="2"))

    endpoint.refresh_from_db()
    assert (decrypt(endpoint.secret), decrypt(endpoint.old_secret)) == (NEW_SIGNING, SIGNING)
    left = endpoint.old_secret_until - clock.now()
    assert timedelta(minutes=118) < left <= timedelta(hours=2)
    assert "canary" not in str(list(Entry.objects.values("before", "after")))


def test_an_old_signing_secret_can_end_at_once(desk, gateway, endpoint):
    desk.post(page(endpoint), endpoint_data(gateway, new_secret=NEW_SIGNING, overlap_hours="0"))

    endpoint.refresh_from_db()
    assert (decrypt(endpoint.secret), endpoint.old_secret, endpoint.old_secret_until) == (NEW_SIGNING, "", None)


@pytest.mark.parametrize("secret", ["whsec_short", "not base64 at all!", "whsec_" + "YQ=="])
def test_a_signing_secret_that_is_no_key_is_refused(desk, gateway, endpoint, secret):
    answer = desk.post(page(endpoint), endpoint_data(gateway, new_secret=secret))

    assert "new_secret" in field_errors(answer)
    assert decrypt(Endpoint.objects.get(pk=endpoint.pk).secret) == SIGNING


def test_an_endpoint_without_a_secret_is_not_made(desk, acme, gateway):
    add = reverse("admin:integrations_endpoint_add")

    answer = desk.post(add, endpoint_data(gateway, organization=acme.pk, slug="new", scheme="standard"))

    assert "new_secret" in field_errors(answer)
    assert not Endpoint.objects.exists()


def test_the_page_says_where_to_send(desk, endpoint):
    assert "/hooks/acme/shop/" in desk.get(page(endpoint)).content.decode()


def test_the_outside_of_others_is_out_of_reach(acme, other, zoe, gateway, endpoint):
    theirs = signed_in(zoe)
    own = Connection.objects.get(organization=other)

    assert theirs.get(page(gateway)).status_code == 302
    assert theirs.get(page(endpoint)).status_code == 302
    refused = theirs.post(
        reverse("admin:integrations_endpoint_add"),
        endpoint_data(gateway, organization=acme.pk, slug="new", scheme="standard", new_secret=SIGNING),
    )
    assert "connection" in field_errors(refused)
    made = theirs.post(
        reverse("admin:integrations_endpoint_add"),
        endpoint_data(own, organization=acme.pk, slug="new", scheme="standard", new_secret=SIGNING),
    )
    assert made.status_code == 302
    assert Endpoint.objects.get(slug="new").organization == other
