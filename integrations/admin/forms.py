"""Forms about outside systems. Secrets go in and never come out."""

import base64
import binascii
from datetime import timedelta
from typing import Any

from django import forms

from accounts.recorded import RecordedForm
from integrations.errors import AddressRefused
from integrations.gateways import connector_names
from integrations.http import check_url
from integrations.models import Connection, Endpoint
from integrations.secrets import encrypt
from opsdesk.lib import clock

# A system that only sends to us needs no connector of its own.
INBOUND_ONLY = ("standard", "standard (only sends to us)")
SHORTEST_KEY = 16  # bytes of a signing key
LONGEST_OVERLAP = 7 * 24  # hours


def secret_field(help_text: str) -> forms.CharField:
    """A secret to be stored; the page never shows what is stored."""
    return forms.CharField(
        label="New secret",
        required=False,
        max_length=500,
        help_text=help_text,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ConnectionForm(RecordedForm):
    """An outside system. Its key goes only to the address it was given for."""

    connector = forms.ChoiceField(
        choices=lambda: [*((name, name) for name in connector_names()), INBOUND_ONLY],
        help_text="The protocol it speaks.",
    )
    base_url = forms.URLField(
        required=False,
        max_length=200,
        assume_scheme="https",
        help_text="Root of its API, with https; empty where it only sends to us.",
    )
    new_secret = secret_field("API key. Stored encrypted and never shown again; empty keeps the stored one.")

    class Meta:
        model = Connection
        fields = ["organization", "slug", "name", "connector", "base_url", "enabled"]

    def clean_base_url(self) -> str:
        """Refuse what the door out would refuse."""
        url: str = self.cleaned_data["base_url"]
        if url:
            try:
                check_url(url)
            except AddressRefused as refusal:
                raise forms.ValidationError(str(refusal)) from refusal
        return url

    def clean(self) -> dict[str, Any]:
        """A connector needs address and key, and a new address needs its key again."""
        values = super().clean() or self.cleaned_data
        acts = values.get("connector") != INBOUND_ONLY[0]
        moved = bool(self.instance.secret) and values.get("base_url") != self.initial.get("base_url")
        if acts and not values.get("base_url") and "base_url" not in self.errors:
            self.add_error("base_url", "This connector needs the root address of the API.")
        if acts and not values.get("new_secret") and not self.instance.secret:
            self.add_error("new_secret", "This connector needs a key.")
        elif moved and not values.get("new_secret"):
            self.add_error("new_secret", "The stored key was given for another address: give the key for this one.")
        return values

    def save(self, commit: bool = True) -> Any:
        """Encrypt a new secret on its way in."""
        if self.cleaned_data.get("new_secret"):
            self.instance.secret = encrypt(self.cleaned_data["new_secret"])
        return super().save(commit)


class EndpointForm(RecordedForm):
    """An address for webhooks. While secrets change, the old one can stay good for some hours."""

    new_secret = secret_field("Signing secret. Stored encrypted and never shown again; empty keeps the stored one.")
    overlap_hours = forms.IntegerField(
        label="Old secret stays good for",
        required=False,
        min_value=0,
        max_value=LONGEST_OVERLAP,
        initial=24,
        help_text="Hours during which both are accepted, while the sender changes over; 0 ends the old one at once.",
    )

    class Meta:
        model = Endpoint
        fields = ["organization", "connection", "slug", "scheme", "enabled"]

    def clean(self) -> dict[str, Any]:
        """A Standard Webhooks secret must be a key; without one nothing could be verified."""
        values = super().clean() or self.cleaned_data
        secret = values.get("new_secret")
        scheme = values.get("scheme") or self.instance.scheme
        if not secret and not self.instance.secret:
            self.add_error("new_secret", "An endpoint needs a secret: without one nothing could be verified.")
        if secret and scheme == Endpoint.Scheme.STANDARD and not _is_key(secret):
            self.add_error("new_secret", f"Write whsec_ and at least {SHORTEST_KEY} bytes in base64.")
        if secret and scheme == Endpoint.Scheme.STRIPE and len(secret) < SHORTEST_KEY:
            self.add_error("new_secret", f"At least {SHORTEST_KEY} characters, as the gateway shows it.")
        return values

    def save(self, commit: bool = True) -> Any:
        """Move the stored secret aside for the overlap, and encrypt the new one."""
        secret, endpoint = self.cleaned_data.get("new_secret"), self.instance
        if secret:
            hours = self.cleaned_data.get("overlap_hours") or 0
            keep = bool(endpoint.secret) and hours > 0
            endpoint.old_secret = endpoint.secret if keep else ""
            endpoint.old_secret_until = clock.now() + timedelta(hours=hours) if keep else None
            endpoint.secret = encrypt(secret)
        return super().save(commit)


def _is_key(secret: str) -> bool:
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= SHORTEST_KEY
    except (binascii.Error, ValueError):
        return False
