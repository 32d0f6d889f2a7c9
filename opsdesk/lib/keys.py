"""The keys of secrets at rest, as the settings name them."""

from functools import cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def field_keys() -> MultiFernet:
    """Seals with the newest of OPSDESK_FIELD_KEYS, opens with any. Raises ImproperlyConfigured for what is no key."""
    return keys_of(",".join(settings.FIELD_KEYS))


@cache
def keys_of(joined: str) -> MultiFernet:
    """The same of keys that are written one after the other, with commas."""
    try:
        return MultiFernet([Fernet(key) for key in joined.split(",")])
    except ValueError as error:
        raise ImproperlyConfigured("OPSDESK_FIELD_KEYS must be Fernet keys (32 bytes, URL-safe base64).") from error
