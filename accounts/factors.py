"""Second factors: one-time codes, passkeys and recovery codes, kept and computed by django-allauth's mfa.

What is added here: a code counts once for all processes (the row remembers its step, under its lock), secrets are
encrypted, and every challenge to a passkey is answered once.
"""

import json
from ipaddress import ip_address
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
    validate_totp_code,
    yield_hotp_counters_from_time,
)
from allauth.mfa.utils import decrypt
from allauth.mfa.webauthn.internal import auth as webauthn
from cryptography.fernet import InvalidToken
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from accounts import signing_in
from accounts.models import User
from opsdesk.lib import clock
from opsdesk.lib.keys import field_keys

MOST_PASSKEYS = 10
_LAST_STEP = "last_step"
# What python-fido2 raises when an answer is not built as one, beside what it and allauth mean to raise.
_MALFORMED = (ValidationError, ValueError, TypeError, KeyError, AttributeError, IndexError)


class Adapter(DefaultMFAAdapter):
    """Where allauth asks how this desk keeps secrets and calls itself."""

    def encrypt(self, text: str) -> str:
        return field_keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return field_keys().decrypt(encrypted_text.encode()).decode()

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())

    def get_totp_issuer(self) -> str:
        return "opsdesk"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": "opsdesk"}


def is_address(host: str) -> bool:
    """Whether a host is written as an address and not by name."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def of(user: User) -> list[Authenticator]:
    """What an account has, oldest first; recovery codes are not a factor of their own."""
    rows = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return list(rows.order_by("pk"))


def has_any(user: User) -> bool:
    """Whether the account is asked for more than its password."""
    return bool(Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists())


def has_passkey(user: User) -> bool:
    """Whether one of them is a passkey."""
    return bool(Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).exists())


# Codes.


@transaction.atomic
def use_code(user: User, code: str) -> str:
    """Use up a one-time or recovery code: what it was, or "" when it is wrong or was used before."""
    code = "".join(code.split())
    # One row after the other and always in this order: two who bring the same code wait for each other.
    kept = {row.type: row for row in Authenticator.objects.select_for_update().filter(user=user).order_by("pk")}
    app = kept.get(Authenticator.Type.TOTP)
    if app is not None and _is_fresh(app, code):
        return "one-time code"
    codes = kept.get(Authenticator.Type.RECOVERY_CODES)
    if codes is not None and RecoveryCodes(codes).validate_code(code):
        Authenticator.objects.filter(pk=codes.pk).update(last_used_at=clock.now())
        return "recovery code"
    return ""


def _is_fresh(app: Authenticator, code: str) -> bool:
    """Whether it is the code of now or of a neighbouring half minute, and newer than the last one that was used."""
    secret, last = decrypt(app.data["secret"]), app.data.get(_LAST_STEP, -1)
    for step in yield_hotp_counters_from_time():
        if step > last and compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step))):
            app.data[_LAST_STEP], app.last_used_at = step, clock.now()
            app.save(update_fields=["data", "last_used_at"])
            return True
    return False


@transaction.atomic
def add_app(user: User, secret: str, code: str) -> bool:
    """Keep an authenticator app that has shown its first code; False when the code is wrong or there is one."""
    User.objects.select_for_update().get(pk=user.pk)
    if not validate_totp_code(secret, "".join(code.split())):
        return False
    if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
        return False
    app = TOTP.activate(user, secret).instance
    # The code that set it up is used up with that.
    app.data[_LAST_STEP] = max(yield_hotp_counters_from_time())
    app.save(update_fields=["data"])
    signing_in.tell(user, "accounts.user.factor_added", reason="Added by its owner.", after={"factor": "app"})
    return True


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Ten codes that each open the door once; those before count no more. They are shown this one time."""
    User.objects.select_for_update().get(pk=user.pk)
    Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    signing_in.tell(user, "accounts.user.codes_made", reason="Made by its owner.")
    return codes


def recovery_codes_left(user: User) -> int:
    """How many are not used up."""
    row = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(RecoveryCodes(row).get_unused_codes()) if row else 0


# Passkeys.


def passkeys_work(request: HttpRequest) -> bool:
    """Whether browsers offer them here: under a name, and encrypted or on the same machine."""
    host = request.get_host().rpartition(":")[0] if ":" in request.get_host() else request.get_host()
    local = host == "localhost" or host.endswith(".localhost")
    return local or (request.is_secure() and not is_address(host))


def passkey_options(user: User | None) -> dict[str, Any]:
    """What the browser is to sign, kept in the session until it is answered; None asks for any passkey of this desk."""
    return dict(webauthn.begin_authentication(user))


def use_passkey(request: HttpRequest, answer: str, user: User | None) -> User | None:
    """Whose passkey answered the challenge of this session: `user` themselves, or whoever it belongs to; else None."""
    try:
        response = json.loads(answer)
        webauthn.parse_authentication_response(response)
        owner: User = user or webauthn.extract_user_from_response(response)
        used = webauthn.complete_authentication(owner, response)
    except _MALFORMED:
        return None
    finally:
        # A challenge is answered once, rightly or not.
        webauthn.clear_state()
    if used.user_id != owner.pk or not owner.is_active:
        return None
    used.record_usage()
    return owner


def new_passkey_options(user: User) -> dict[str, Any]:
    """What the browser is to make: a key that names its owner and asks for a finger, a face or a PIN."""
    return dict(webauthn.begin_registration(user, passwordless=True))


@transaction.atomic
def add_passkey(user: User, name: str, answer: str) -> bool:
    """Keep the key that answers the challenge of this session; False when it does not, or there are too many."""
    User.objects.select_for_update().get(pk=user.pk)
    try:
        credential = json.loads(answer)
        webauthn.parse_registration_response(credential)
        made = webauthn.complete_registration(credential)
    except _MALFORMED:
        return False
    finally:
        webauthn.clear_state()
    kept = Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN)
    if not made.is_user_verified() or kept.count() >= MOST_PASSKEYS:
        return False
    webauthn.WebAuthn.add(user, name.strip()[:60] or "Passkey", credential)
    signing_in.tell(user, "accounts.user.factor_added", reason="Added by its owner.", after={"factor": "passkey"})
    return True


# Taking away.


@transaction.atomic
def remove(user: User, key: int) -> bool:
    """Take one factor away, and the recovery codes with the last one; False when there is no such one."""
    User.objects.select_for_update().get(pk=user.pk)
    row = next((row for row in of(user) if row.pk == key), None)
    if row is None:
        return False
    row.delete()
    if not has_any(user):
        Authenticator.objects.filter(user=user).delete()
    what = "app" if row.type == Authenticator.Type.TOTP else "passkey"
    signing_in.tell(user, "accounts.user.factor_removed", reason="Removed by its owner.", before={"factor": what})
    return True


def forget_all(user: User) -> int:
    """Take all factors away from somebody who has lost them; whoever does it records why. Returns how many."""
    return int(Authenticator.objects.filter(user=user).delete()[0])


@transaction.atomic
def renew_secrets() -> tuple[int, list[str]]:
    """Store what is kept of all factors under the newest key: how many, and whose no key opens."""
    done, closed = 0, []
    for row in Authenticator.objects.select_for_update().order_by("pk"):
        for name in {"secret", "seed"} & row.data.keys():
            try:
                row.data[name] = field_keys().rotate(row.data[name].encode()).decode()
            except InvalidToken:
                closed.append(f"{row.get_type_display()} of account {row.user_id}")
                continue
            row.save(update_fields=["data"])
            done += 1
    return done, closed
