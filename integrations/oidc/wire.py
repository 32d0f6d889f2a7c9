"""What is asked of the identity provider: where its doors are, its keys, a token for a code, and its word on a person.

Everything goes out through the one door: to public addresses over https, no redirects, caps on time and size.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import structlog
from django.conf import settings

from integrations.errors import AddressRefused
from integrations.http import Limits, check_url
from integrations.http.transport import NoAnswer, exchange
from integrations.strictjson import read_object
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from workflows.errors import Unreadable

log = structlog.get_logger(__name__)

WELL_KNOWN = "/.well-known/openid-configuration"
_LIMITS = Limits(connect=3.0, read=5.0, total=8.0, largest=200_000)
KEPT, _FAILED_KEPT = timedelta(minutes=10), timedelta(seconds=5)


class ProviderTrouble(DomainError):
    """The provider does not answer as it should; nobody is let in."""

    message = "The identity provider does not answer as it should. Try again in a moment, or ask an admin of the desk."


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the provider is asked for what, as it says itself."""

    authorize: str
    token: str
    keys: str
    person: str
    secret_in_body: bool


class _Kept:
    """What was learned from the provider, for a while: also that it does not answer, so that nobody queues for it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[datetime, Mapping[str, Any] | None]] = {}

    def document(self, url: str, *, newer_than: timedelta = KEPT) -> Mapping[str, Any]:
        """The JSON object at an address, asked for at most so often. Raises ProviderTrouble."""
        at, known = self._found.get(url, (None, None))
        if at is not None and clock.now() - at < (newer_than if known is not None else _FAILED_KEPT):
            if known is None:
                raise ProviderTrouble
            return known
        try:
            found = _call("GET", url)
        except ProviderTrouble:
            self._found[url] = (clock.now(), None)
            raise
        self._found[url] = (clock.now(), found)
        return found

    def forget(self) -> None:
        """Ask anew for everything."""
        self._found.clear()


kept = _Kept()


def doors() -> Doors:
    """What the provider says about itself. Raises ProviderTrouble, also where its name is not that of the settings."""
    issuer = settings.IDENTITY_PROVIDER["issuer"]
    said = kept.document(issuer + WELL_KNOWN)
    if str(said.get("issuer", "")).rstrip("/") != issuer:
        log.warning("provider_calls_itself_otherwise", said=str(said.get("issuer"))[:200])
        raise ProviderTrouble
    authorize, token, jwks = (
        str(said.get(name) or "") for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    )
    for place in (authorize, token, jwks):
        _check(place)
    methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    in_body = "client_secret_basic" not in methods
    return Doors(authorize, token, jwks, person=str(said.get("userinfo_endpoint") or ""), secret_in_body=in_body)


def keys(place: str, *, newer_than: timedelta = KEPT) -> Mapping[str, Any]:
    """The provider's keys for signatures, as a JSON Web Key Set."""
    return kept.document(place, newer_than=newer_than)


def token_for(found: Doors, *, code: str, verifier: str, back: str) -> Mapping[str, Any]:
    """Change the code for tokens, with the verifier that only this desk knows, and the client's secret if any."""
    provider = settings.IDENTITY_PROVIDER
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
    headers: dict[str, str] = {}
    if provider["client_secret"] and not found.secret_in_body:
        pair = f"{quote_plus(provider['client_id'])}:{quote_plus(provider['client_secret'])}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form["client_id"] = provider["client_id"]
        form |= {"client_secret": provider["client_secret"]} if provider["client_secret"] else {}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return _call("POST", found.token, headers=headers, body=urlencode(form).encode())


def person(found: Doors, access_token: str) -> Mapping[str, Any]:
    """What the provider tells about whoever the token is of; nothing where it tells nothing."""
    if not found.person or not access_token.isascii() or not access_token.isprintable():
        return {}
    return _call("GET", found.person, headers={"Authorization": f"Bearer {access_token}"})


def _check(url: str) -> None:
    """The provider's own addresses are those of a host on the internet, or excepted. Raises ProviderTrouble."""
    try:
        check_url(url.partition("?")[0])
    except AddressRefused as refused:
        log.warning("provider_names_no_address", why=str(refused))
        raise ProviderTrouble from refused


def _call(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Mapping[str, Any]:
    _check(url)
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "opsdesk", **(headers or {})}
    try:
        received = exchange(method, url, headers=sent, body=body, limits=_LIMITS)
        if received.status != 200:
            log.warning("provider_refused", method=method, url=url, status=received.status)
            raise ProviderTrouble
        return read_object(received.body)
    except (NoAnswer, AddressRefused, Unreadable) as trouble:
        log.warning("provider_trouble", method=method, url=url, why=str(trouble))
        raise ProviderTrouble from trouble
