"""Whether the ways in are set up to their end."""

from collections.abc import Iterator

from django.conf import settings

from accounts.identities import provider_name
from accounts.models import GroupRole
from integrations.oidc import flow, wire
from opsdesk.watch.doctor.opinions import Opinion, good, noted, wrong


def provider_is_named() -> Iterator[Opinion]:
    """Whether the settings say all that the identity provider needs; nothing where they say nothing of one."""
    provider = settings.IDENTITY_PROVIDER
    named = {name for name in ("issuer", "client_id", "client_secret") if provider[name]}
    missing = [name for name in ("issuer", "client_id") if name not in named]
    if named and missing:
        names = " and ".join(f"OPSDESK_OIDC_{name.upper()}" for name in missing)
        yield wrong(
            f"Nobody signs in by {provider['name']}: {names} is not set.",
            "Set it as the provider says, or unset the other OPSDESK_OIDC settings.",
        )
    elif named and "client_secret" not in named:
        yield noted(
            "The desk has no secret at the identity provider; PKCE alone protects its sign-ins.",
            "Have the provider give it one, and set OPSDESK_OIDC_CLIENT_SECRET.",
        )


def provider_lets_people_in() -> Iterator[Opinion]:
    """Whether the identity provider answers as itself, and any of its groups has a role here."""
    yield from provider_is_named()
    name = provider_name()
    if not name:
        if not any(settings.IDENTITY_PROVIDER[key] for key in ("issuer", "client_id", "client_secret")):
            yield good("People sign in by password and passkey; no identity provider is set.")
        return
    try:
        wire.doors()
    except wire.ProviderTrouble:
        yield wrong(
            f"{name.capitalize()} does not answer as {settings.IDENTITY_PROVIDER['issuer']}.",
            f"See whether {settings.IDENTITY_PROVIDER['issuer']}{wire.WELL_KNOWN} can be reached from here and names "
            "the same issuer; the log says what was wrong.",
        )
        return
    groups = GroupRole.objects.filter(enabled=True).count()
    if not groups:
        yield wrong(
            f"Nobody new signs in by {name}: no group has a role.",
            "An admin says which group has which role under “Roles by group”.",
        )
        return
    yield good(
        f"People sign in by {name}: {groups} of its groups have a role here. It sends them back to {flow.back()}."
    )
