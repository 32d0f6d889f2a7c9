"""A provider's word is taken only where it is signed by the provider, for this desk, now, and for this errand."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.urls import reverse

from accounts.models import Identity
from integrations.oidc import flow, wire
from tests.accounts.provider import START, make_group_role
from tests.integrations.scripted import ScriptedServer, answer
from tests.plugins.pages import text_of

pytestmark = pytest.mark.django_db
KEY, ANOTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def keys(*pairs):
    rows = []
    for kid, key in pairs:
        row = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        rows.append({**row, "kid": kid, "alg": "ES256", "use": "sig"})
    return {"keys": rows}


@pytest.fixture
def server(settings, organization):
    """A provider that says what a test has it say; the desk is set up for it."""
    found = ScriptedServer()
    settings.OUTBOUND_EXCEPTIONS = [f"127.0.0.1:{found.port}"]
    named = {"client_id": "the-desk", "client_secret": "s3cret", "issuer": found.url}
    settings.IDENTITY_PROVIDER = {**settings.IDENTITY_PROVIDER, **named}
    make_group_role(organization, "desk", "operator")
    wire.kept.forget()
    yield found
    found.close()
    wire.kept.forget()


def about(server, **changes):
    said = {
        "issuer": server.url,
        "authorization_endpoint": f"{server.url}/authorize",
        "token_endpoint": f"{server.url}/token",
        "jwks_uri": f"{server.url}/keys",
        "userinfo_endpoint": f"{server.url}/person",
    }
    return {**said, **changes}


def honest(server, asked):
    now = int(time.time())
    times = {"iat": now, "exp": now + 300, "auth_time": now}
    return {"iss": server.url, "aud": "the-desk", "sub": "v", "nonce": asked["nonce"], "groups": ["desk"], **times}


def attempt(client, server, make, *, told=None, known=None):
    """A sign-in at which the provider answers with the ID token that `make(claims)` gives; `told` is its userinfo."""
    server.plays(answer(about(server)))
    onward = client.get(START)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(onward.url).query).items()}
    token = make(honest(server, asked))
    told = answer({"sub": "v", "name": "Vera Lang"} if told is None else told)
    server.plays(answer({"id_token": token, "access_token": "at"}), answer(known or keys(("k1", KEY))), told)
    return client.get(reverse("integrations:provider_back"), {"state": asked["state"], "code": "c0de"})


def signed(key=KEY, kid="k1", alg="ES256", without="", **changes):
    def make(claims):
        claims = {name: value for name, value in {**claims, **changes}.items() if name != without}
        return jwt.encode(claims, key, algorithm=alg, headers={"kid": kid})

    return make


def test_an_honest_word_is_taken_and_the_code_was_proven(client, server):
    reply = attempt(client, server, signed())

    assert reply.status_code == 302, text_of(reply)
    (sent,) = [request.decode() for request in server.requests if request.startswith(b"POST /token")]
    body = parse_qs(sent.partition("\r\n\r\n")[2])
    assert body["code"] == ["c0de"]
    assert 43 <= len(body["code_verifier"][0]) <= 128
    assert "s3cret" not in sent
    assert "Authorization: Basic" in sent
    assert Identity.objects.get().user.person.name == "Vera Lang"


LIES = {
    "another nonce": signed(nonce="another"),
    "no nonce": signed(without="nonce"),
    "for another desk": signed(aud="another"),
    "for several, by none of them": signed(aud=["the-desk", "another"]),
    "by another provider": signed(iss="https://evil.example"),
    "over": signed(exp=int(time.time()) - 3_600),
    "without an end": signed(without="exp"),
    "of the future": signed(iat=int(time.time()) + 3_600),
    "of nobody": signed(without="sub"),
    "of an empty name": signed(sub=""),
    "of a name too long": signed(sub="x" * 300),
    "by another key": signed(key=ANOTHER),
    "by a key that is not named": signed(key=ANOTHER, kid="k2"),
    "by the shared secret": signed(key="s3cret" * 8, alg="HS256"),
    "by nobody": signed(key=None, alg="none"),
    "no token at all": lambda claims: "",
    "broken": lambda claims: signed()(claims)[:-4] + "AAAA",
}


@pytest.mark.parametrize("make", LIES.values(), ids=LIES.keys())
def test_a_lie_lets_nobody_in(client, server, make):
    reply = attempt(client, server, make)

    assert reply.status_code == 403
    assert not Identity.objects.exists()
    assert "_auth_user_id" not in client.session


def test_what_the_provider_tells_later_is_about_the_same_person_and_changes_nothing(client, server):
    other = attempt(client, server, signed(), told={"sub": "w", "name": "Somebody"})
    assert flow.NotThem.message in text_of(other)

    wire.kept.forget()
    attempt(client, server, signed(groups=["none"]), told={"sub": "v", "groups": ["desk"]})
    assert not Identity.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://169.254.169.254/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_provider_that_leads_astray_is_not_followed(client, server, change):
    server.plays(answer(about(server, **change)))

    reply = client.get(START)

    assert reply.status_code == 503
    assert len(server.requests) == 1


def test_a_provider_that_is_away_is_not_asked_by_everybody(client, server):
    server.plays(answer({}, status=500))

    assert [client.get(START).status_code for _ in range(5)] == [503] * 5
    assert len(server.requests) == 1
