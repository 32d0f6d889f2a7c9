"""The way to the provider and back: what is remembered meanwhile in the session, and what must fit when they return."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import structlog
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from accounts.arriving import Arrival
from integrations.oidc import wire
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError

log = structlog.get_logger(__name__)

ERRAND = "provider_errand"
_LASTS = timedelta(minutes=10)
# A provider's clock and ours may differ by so much.
_LEEWAY = 60
# What counts as having shown who one is just now.
_LATELY = 300
# Signatures by keys that only the provider has; never by a secret that is shared, never none.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nonce"]
_MOST_GROUPS = 1_000


class NotThem(DomainError):
    """What came back does not fit what was asked for."""

    message = "That sign-in did not begin here, or took too long. Begin again."


@dataclass(frozen=True, slots=True)
class Errand:
    """One way to the provider. `why` is "sign in", "connect" or "confirm"; `user` is who is signed in meanwhile."""

    why: str
    to: str
    user: int | None
    state: str
    nonce: str
    verifier: str
    at: float


@dataclass(frozen=True, slots=True)
class Word:
    """What the provider says, checked; and whether the person showed just now who they are."""

    arrival: Arrival
    lately: bool


def begin(session: SessionBase, *, why: str, to: str, user: int | None = None) -> str:
    """Remember a new errand in the session, and give the provider's address to go to. Raises ProviderTrouble."""
    doors = wire.doors()
    token = secrets.token_urlsafe
    errand = Errand(why, to, user, token(24), token(24), token(48), clock.now().timestamp())
    session[ERRAND] = asdict(errand)
    provider = settings.IDENTITY_PROVIDER
    digest = hashlib.sha256(errand.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": provider["client_id"],
        "redirect_uri": back(),
        "scope": provider["scopes"],
        "state": errand.state,
        "nonce": errand.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    if why != "sign in":
        asked |= {"prompt": "login", "max_age": "0"}
    return doors.authorize + ("&" if "?" in doors.authorize else "?") + urlencode(asked)


def back() -> str:
    """Where the provider sends people back to; it is registered there."""
    return settings.BASE_URL.rstrip("/") + reverse("integrations:provider_back")


def take(session: SessionBase, query: Mapping[str, str]) -> Errand:
    """The errand that this return belongs to; it counts once. Raises NotThem."""
    kept = session.pop(ERRAND, None)
    if not kept or clock.now().timestamp() - kept["at"] > _LASTS.total_seconds():
        raise NotThem
    errand = Errand(**kept)
    if not constant_time_compare(query.get("state", ""), errand.state):
        raise NotThem
    issuer = query.get("iss", "").rstrip("/")
    if issuer and issuer != settings.IDENTITY_PROVIDER["issuer"]:
        raise NotThem
    return errand


def word(errand: Errand, code: str) -> Word:
    """Change the code for the provider's word on who it is, and check it. Raises NotThem, ProviderTrouble."""
    if not code:
        raise NotThem
    doors = wire.doors()
    tokens = wire.token_for(doors, code=code, verifier=errand.verifier, back=back())
    claims = _checked(str(tokens.get("id_token") or ""), doors, nonce=errand.nonce)
    claims = _completed(claims, tokens, doors)
    shown_at, now = claims.get("auth_time"), clock.now().timestamp()
    since = errand.at - _LEEWAY if errand.why != "sign in" else now - _LATELY
    lately = isinstance(shown_at, int) and since <= shown_at <= now + _LEEWAY
    return Word(_arrival(claims), lately)


def _checked(id_token: str, doors: wire.Doors, *, nonce: str) -> dict[str, Any]:
    """The claims of an ID token that this provider signed for this desk, now, for this errand."""
    provider = settings.IDENTITY_PROVIDER
    try:
        header = jwt.get_unverified_header(id_token)
        if header.get("alg") not in _ALGORITHMS:
            raise jwt.InvalidAlgorithmError(f"Signed by {header.get('alg')!r}.")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            _key(header, doors),
            algorithms=_ALGORITHMS,
            audience=provider["client_id"],
            issuer=[provider["issuer"], provider["issuer"] + "/"],
            leeway=_LEEWAY,
            options={"require": _REQUIRED},
        )
    except jwt.PyJWTError as odd:
        log.warning("provider_word_refused", why=f"{type(odd).__name__}: {odd}"[:200])
        raise NotThem("The identity provider's answer could not be trusted. Begin again, or ask an admin.") from odd
    if not constant_time_compare(str(claims["nonce"]), nonce):
        log.warning("provider_word_refused", why="nonce")
        raise NotThem
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != provider["client_id"]:
        log.warning("provider_word_refused", why="azp")
        raise NotThem
    return claims


def _key(header: Mapping[str, Any], doors: wire.Doors) -> jwt.PyJWK:
    """The provider's key that the token names; keys are asked for anew when it is a new one, once a minute at most."""
    for newer_than in (wire.KEPT, timedelta(minutes=1)):
        found = jwt.PyJWKSet.from_dict(dict(wire.keys(doors.keys, newer_than=newer_than))).keys
        fitting = [key for key in found if key.key_id == header.get("kid")]
        if header.get("kid") is None and len(found) == 1:
            fitting = found
        if fitting:
            return fitting[0]
    raise jwt.InvalidKeyError("Signed by a key that the provider does not name.")


def _completed(claims: dict[str, Any], tokens: Mapping[str, Any], doors: wire.Doors) -> dict[str, Any]:
    """With what the provider only tells when asked: it must be about the same person, and adds, never changes."""
    if settings.IDENTITY_PROVIDER["groups_claim"] in claims and claims.get("name"):
        return claims
    told = wire.person(doors, str(tokens.get("access_token") or ""))
    if told and told.get("sub") != claims["sub"]:
        log.warning("provider_word_refused", why="another person")
        raise NotThem
    return {**told, **claims}


def _arrival(claims: Mapping[str, Any]) -> Arrival:
    groups = claims.get(settings.IDENTITY_PROVIDER["groups_claim"])
    if groups is None:
        log.warning("provider_tells_no_groups", claim=settings.IDENTITY_PROVIDER["groups_claim"])
    listed = groups if isinstance(groups, list) else [groups] if isinstance(groups, str) else []
    subject = str(claims["sub"])
    if not subject or len(subject) > 255 or _plain(subject) != subject:
        raise NotThem("The identity provider names you in a way that cannot be kept. Ask an admin.")
    return Arrival(
        issuer=settings.IDENTITY_PROVIDER["issuer"],
        subject=subject,
        name=_plain(claims.get("name")),
        username=_plain(claims.get("preferred_username"))[:150],
        email=_plain(claims.get("email"))[:254],
        groups=frozenset(each for each in listed[:_MOST_GROUPS] if isinstance(each, str)),
    )


def _plain(value: object) -> str:
    """Text without signs that cannot be seen."""
    return "".join(sign for sign in value if sign.isprintable()).strip() if isinstance(value, str) else ""
