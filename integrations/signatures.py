"""Who sent a webhook: signatures over the bytes as they came, in two schemes.

Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks (symmetric, v1).
Stripe: https://docs.stripe.com/webhooks#verify-manually (v1).

The authors' own packages check text, not bytes: a validly signed body that is not UTF-8 fails in them, and ours must be
stored and set aside. So the two digests are computed here; the tests hold them against both packages.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from integrations.models import Endpoint
from integrations.secrets import reveal

TOLERANCE = timedelta(seconds=300)
# Signatures looked at in one header; senders that change secrets sign with two or three.
MOST_SIGNATURES = 10
# The id is text that was signed in front of two dots: with a dot of its own it could be read in two ways.
_ID = re.compile(r"[A-Za-z0-9_:-]{1,120}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The message does not prove who sent it, or when."""


class WrongTime(BadSignature):
    """The right sender signed it, too long ago or for later: a clock is wrong, or it is an old message.

    `skew` is how many seconds the sender's time is ahead of ours; negative when it is behind.
    """

    def __init__(self, signed_at: int, now: datetime) -> None:
        super().__init__(f"signed at {signed_at}, which is not within {TOLERANCE.total_seconds():.0f} s of now")
        self.skew = round(signed_at - now.timestamp())


def verify(endpoint: Endpoint, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Check who sent `body`, and that it was signed within 300 s of now; returns the key by which copies are known.

    `headers` finds names in any case. Raises BadSignature, for malformed headers too, and secrets.Undecryptable
    where the stored secret cannot be read.
    """
    secrets = list(_secrets(endpoint, now))
    if not all(secret.removeprefix("whsec_").strip() for secret in secrets):
        raise BadSignature("the stored secret is empty")
    return _SCHEMES[endpoint.scheme](secrets, headers, body, now)


def sign(secret: str, *, message: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers with which Standard Webhooks proves who sends a body; raises BadSignature for an odd secret."""
    seconds = str(int(at.timestamp()))
    signature = base64.b64encode(_digest(_standard_key(secret), f"{message}.{seconds}.".encode() + body)).decode()
    return {"webhook-id": message, "webhook-timestamp": seconds, "webhook-signature": f"v1,{signature}"}


def _secrets(endpoint: Endpoint, now: datetime) -> Iterator[str]:
    yield reveal(endpoint)
    if endpoint.old_secret and endpoint.old_secret_until and now < endpoint.old_secret_until:
        yield reveal(endpoint, "old_secret")


def _standard(secrets: list[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The sender's id is the key: a repeated delivery keeps it."""
    message, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(message):
        raise BadSignature("webhook-id is missing or odd")
    signed_at = _seconds(at)
    parts = [entry.partition(",") for entry in headers.get("webhook-signature", "").split(" ")]
    given = [signature for version, _, signature in parts if version == "v1"]
    signed = f"{message}.{at}.".encode() + body
    expected = [base64.b64encode(_digest(_standard_key(secret), signed)).decode() for secret in secrets]
    _check_match(given, expected)
    _check_time(signed_at, now)
    return message


def _standard_key(secret: str) -> bytes:
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise BadSignature("the stored secret is not base64") from error
    if not key:
        raise BadSignature("the stored secret is empty")
    return key


def _stripe(secrets: list[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The content is the key: Stripe's id stands inside the body, which nobody reads before it is stored."""
    pairs = [entry.partition("=") for entry in headers.get("stripe-signature", "").split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise BadSignature("Stripe-Signature is missing or has not one time")
    signed_at = _seconds(times[0])
    given = [value for name, _, value in pairs if name == "v1"]
    signed = f"{times[0]}.".encode() + body
    _check_match(given, [_digest(secret.encode(), signed).hex() for secret in secrets])
    _check_time(signed_at, now)
    return hashlib.sha256(body).hexdigest()


_SCHEMES: dict[str, Callable[[list[str], Mapping[str, str], bytes, datetime], str]] = {
    Endpoint.Scheme.STANDARD: _standard,
    Endpoint.Scheme.STRIPE: _stripe,
}


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise BadSignature("the time is not seconds since 1970")
    return int(text)


def _check_time(signed_at: int, now: datetime) -> None:
    """Late and early alike: a message signed for next year would otherwise stay good until then.

    Looked at last, so that only the sender's own clock is ever told of, never what a stranger wrote.
    """
    if abs(now.timestamp() - signed_at) > TOLERANCE.total_seconds():
        raise WrongTime(signed_at, now)


def _digest(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, hashlib.sha256)


def _check_match(given: list[str], expected: list[str]) -> None:
    for signature in given[:MOST_SIGNATURES]:
        # Bytes, because text outside ASCII cannot be compared in constant time.
        if any(hmac.compare_digest(signature.encode(errors="replace"), right.encode()) for right in expected):
            return
    raise BadSignature("no signature fits")
