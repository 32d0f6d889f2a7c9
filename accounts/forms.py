"""Forms of the admin about organizations and people."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, BaseUserCreationForm, UserChangeForm

from accounts.models import Organization, Person, User
from accounts.recorded import RecordedForm, reason_field
from accounts.roles import Role
from opsdesk.lib.money import EXPONENTS


class OrganizationForm(RecordedForm):
    """Zone and currency are chosen, not typed."""

    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        help_text="Calendars, due times and objection windows count in it.",
    )
    currency = forms.ChoiceField(
        choices=[(code, code) for code in sorted(EXPONENTS)], help_text="ISO 4217 code shown first in sums."
    )

    factor_roles = forms.MultipleChoiceField(
        choices=Role.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Second factor for",
        help_text="Whoever has one of these roles signs in with a one-time code or a passkey beside the password, and "
        "sets one up before anything else opens.",
    )

    class Meta:
        model = Organization
        fields = [
            "name",
            "slug",
            "time_zone",
            "currency",
            "acting_enabled",
            "recovery_signatures",
            "idle_minutes",
            "session_hours",
            "factor_roles",
            "confirm_above_minor",
            "confirm_minutes",
        ]


class PersonForm(RecordedForm):
    """A person, and whom they report to: nobody stands above themselves, over however many steps."""

    class Meta:
        model = Person
        fields = ["name", "email", "manager"]

    def clean_manager(self) -> Person | None:
        """Refuse a circle; the database refuses what two people save at once."""
        manager: Person | None = self.cleaned_data["manager"]
        if manager is not None and self.instance.pk in {manager.pk, *(person.pk for person in manager.above())}:
            raise forms.ValidationError(f"{manager} would stand above themselves.")
        return manager


class AccountForm(UserChangeForm, RecordedForm):
    """An account; who it belongs to is never left open, because consent is counted in people."""

    person: forms.ModelChoiceField
    forget_factors = forms.BooleanField(
        required=False,
        label="Remove second factors",
        help_text="For somebody who has lost app, passkeys and recovery codes. Make sure by another way that it is "
        "them. Their sessions end; where their role asks for a second factor they set up a new one.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "person" in self.fields:
            self.fields["person"].required = True


class NewAccountForm(BaseUserCreationForm, RecordedForm):
    """A new account with its first role; without one it would be in no organization and seen by nobody."""

    role = forms.ChoiceField(choices=Role.choices, help_text="What the account may do in your organization.")

    class Meta:
        model = User
        fields = ["username", "first_name", "last_name", "email", "person"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "person" in self.fields:
            self.fields["person"].help_text = "Only when this human being already has an account."

    def person_of(self, account: User) -> Person:
        """The chosen person, or a new one with the account's name."""
        return account.person or Person(name=account.get_full_name() or account.username, email=account.email)


class NewPasswordForm(AdminPasswordChangeForm):
    """A password set for somebody else, with the reason."""

    change_reason = reason_field()
