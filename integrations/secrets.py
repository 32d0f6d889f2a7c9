"""Secrets at rest: encrypted in the column, decrypted only where they are used."""

from functools import cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


@cache
def _keys(joined: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in joined.split(",")])
    except ValueError as error:
        raise ImproperlyConfigured("OPSDESK_FIELD_KEYS must be Fernet keys (32 bytes, URL-safe base64).") from error


class Undecryptable(Exception):
    """No configured key opens the stored secret."""


def encrypt(plain: str) -> str:
    """Cipher text of `plain` under the newest key."""
    return _keys(",".join(settings.FIELD_KEYS)).encrypt(plain.encode()).decode()


@cache
def _opened(cipher: str, joined: str) -> str:
    try:
        return _keys(joined).decrypt(cipher.encode()).decode()
    except InvalidToken as error:
        raise Undecryptable("A stored secret fits none of OPSDESK_FIELD_KEYS.") from error


def decrypt(cipher: str) -> str:
    """Plain text of a stored secret; raises Undecryptable."""
    return _opened(cipher, ",".join(settings.FIELD_KEYS)) if cipher else ""


class EncryptedField(models.TextField):
    """Holds cipher text: assign with `encrypt(…)`, read with `decrypt(…)`; plain text never travels by accident."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "integrations.secrets.EncryptedField", args, kwargs
