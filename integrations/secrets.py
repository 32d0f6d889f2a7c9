"""Secrets at rest: encrypted in the column, bound to their row, decrypted only where they are used."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import models

from opsdesk.lib.keys import field_keys, keys_of

_BOUND, _MARK = "bound:", 16


class Undecryptable(Exception):
    """No configured key opens the stored secret, or it was stored for another row."""


def encrypt(plain: str) -> str:
    """Cipher text of `plain` under the newest key; bound to its row when that is saved."""
    return field_keys().encrypt(plain.encode()).decode()


@cache
def _opened(cipher: str, joined: str) -> str:
    try:
        return keys_of(joined).decrypt(cipher.encode()).decode()
    except InvalidToken as error:
        raise Undecryptable("A stored secret fits none of OPSDESK_FIELD_KEYS.") from error


def _parts(cipher: str) -> tuple[str, str]:
    """To which row a cipher text is bound ("" for none yet), and what it holds."""
    inner = _opened(cipher, ",".join(settings.FIELD_KEYS))
    if not inner.startswith(_BOUND):
        return "", inner
    mark = inner[len(_BOUND) :][:_MARK]
    return mark, inner[len(_BOUND) + _MARK + 1 :]


def decrypt(cipher: str) -> str:
    """Plain text of a cipher text, whichever row it is bound to; raises Undecryptable. For use, see `reveal`."""
    return _parts(cipher)[1] if cipher else ""


def reveal(row: models.Model, name: str = "secret") -> str:
    """The secret that a row holds, "" for none; raises Undecryptable, also for one that was copied from another row."""
    cipher = getattr(row, name)
    if not cipher:
        return ""
    mark, plain = _parts(cipher)
    if mark and mark != _field_of(row, name).mark(row):
        raise Undecryptable(f"The stored secret of {row} was stored for something else: enter it again.")
    return plain


class EncryptedField(models.TextField):
    """Holds cipher text: assign with `encrypt(…)`, read with `reveal(row)`; plain text never travels by accident.

    `bound_to` names fields that tell the row apart and never change. What is saved carries a mark of their values, so
    that a cipher text copied to another row opens nothing there. One without a mark, from before, is still read.
    """

    def __init__(self, *args: Any, bound_to: Sequence[str] = (), **kwargs: Any) -> None:
        self.bound_to = tuple(bound_to)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "integrations.secrets.EncryptedField", args, kwargs

    def mark(self, row: models.Model) -> str:
        """What ties a cipher text to this row."""
        told = [row._meta.db_table, *(str(getattr(row, name)) for name in self.bound_to)]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:_MARK]

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Bind what is not bound yet; what no key opens, or is bound elsewhere, stays as it is."""
        cipher = super().pre_save(model_instance, add)
        if cipher and self.bound_to:
            try:
                mark, plain = _parts(cipher)
            except Undecryptable:
                return cipher
            if not mark:
                cipher = encrypt(f"{_BOUND}{self.mark(model_instance)}:{plain}")
                setattr(model_instance, self.attname, cipher)
        return cipher


def _field_of(row: models.Model, name: str) -> EncryptedField:
    field = row._meta.get_field(name)
    if not isinstance(field, EncryptedField):
        raise TypeError(f"{name} of {row._meta.label} is not encrypted")
    return field


def kept() -> Iterator[tuple[type[models.Model], list[str]]]:
    """Every model that keeps secrets, with the names of their fields."""
    for model in apps.get_models():
        names = [field.name for field in model._meta.local_fields if isinstance(field, EncryptedField)]
        if names:
            yield model, names


def is_current(cipher: str) -> bool:
    """Whether the newest key alone opens it; raises Undecryptable when none does."""
    _parts(cipher)
    try:
        Fernet(settings.FIELD_KEYS[0]).decrypt(cipher.encode())
    except InvalidToken:
        return False
    return True


def renewed(row: models.Model, name: str) -> str:
    """The secret of a row under the newest key, bound to it; "" where nothing is to do. Raises Undecryptable."""
    cipher, field = getattr(row, name), _field_of(row, name)
    if not cipher or (is_current(cipher) and (_parts(cipher)[0] or not field.bound_to)):
        return ""
    return encrypt(f"{_BOUND}{field.mark(row)}:{reveal(row, name)}" if field.bound_to else reveal(row, name))
