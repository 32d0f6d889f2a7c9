"""Forms about outside systems. Secrets go in and never come out."""

import base64
import binascii
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms

from accounts.recorded import RecordedForm
from integrations.errors import AddressRefused
from integrations.http import check_url
from integrations.models import Connection, Endpoint, MaintenanceWindow
from integrations.operations import connector_names, options_of
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
    calls_per_second = forms.DecimalField(
        required=False,
        min_value=Decimal("0.01"),
        max_digits=6,
        decimal_places=2,
        help_text="Calls a second that the other side allows; empty: as many as there are.",
    )
    burst = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        help_text="Calls that may go out at once after a pause; empty: those of two seconds.",
    )
    most_at_once = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000,
        help_text="Tries under way at the same time; empty: as many as there are.",
    )
    most_attempts = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=50,
        help_text="Tries that certainly had no effect, before a person looks; empty: as before, three at first. "
        "Outages use up none.",
    )
    new_secret = secret_field("API key. Stored encrypted and never shown again; empty keeps the stored one.")

    class Meta:
        model = Connection
        fields = [
            "organization", "slug", "name", "connector", "base_url", "options", "enabled", "calls_per_second",
            "burst", "most_at_once", "most_attempts",
        ]  # fmt: skip

    def clean_base_url(self) -> str:
        """Refuse what the door out would refuse."""
        url: str = self.cleaned_data["base_url"]
        if url:
            try:
                check_url(url)
            except AddressRefused as refusal:
                raise forms.ValidationError(str(refusal)) from refusal
        return url

    options = forms.JSONField(
        required=False,
        help_text="What the connector must be told besides, as {name: text}; its README lists the names.",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 80}),
    )

    def clean_options(self) -> dict[str, str]:
        """Only what the connector knows, each in the form it asks for."""
        given = self.cleaned_data["options"] or {}
        known = {option.name: option for option in options_of(self.cleaned_data.get("connector", ""))}
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise forms.ValidationError("Options are names with texts, such as {}.")
        problems = [f"This connector has no option “{name}”." for name in given if name not in known]
        problems += [
            f"{known[name].label}: {text}"
            for name, value in given.items()
            if name in known
            for text in [known[name].check(value)]
            if text
        ]
        if problems:
            raise forms.ValidationError(problems)
        return given

    def clean_most_attempts(self) -> int:
        """Empty keeps what is there."""
        return int(self.cleaned_data["most_attempts"] or self.instance.most_attempts)

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


class WindowForm(RecordedForm):
    """A stretch of maintenance, which has to lie ahead."""

    class Meta:
        model = MaintenanceWindow
        fields = ["connection", "starts_at", "ends_at", "reason"]

    def clean(self) -> dict[str, Any]:
        """It ends after it starts, and not in the past."""
        values = super().clean() or self.cleaned_data
        starts, ends = values.get("starts_at"), values.get("ends_at")
        if starts and ends and ends <= starts:
            self.add_error("ends_at", "It ends after it starts.")
        elif ends and ends <= clock.now():
            self.add_error("ends_at", "That is over already.")
        return values


def _is_key(secret: str) -> bool:
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= SHORTEST_KEY
    except (binascii.Error, ValueError):
        return False
