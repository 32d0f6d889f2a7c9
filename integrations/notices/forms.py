"""Forms about notices: how they come, and over which channels. Addresses go in and never come out."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.forms import BoundField

from accounts.models import Membership, Team
from integrations.chat import known
from integrations.errors import AddressRefused
from integrations.models import NoticeSettings
from integrations.models.chat import How
from integrations.notices.kinds import NoticeKind, notice_kinds

WAYS = {"mail": "Mail", "chat": "Chat"}
_CLOCK = forms.TimeInput(format="%H:%M", attrs={"type": "time"})


class SettingsForm(forms.Form):
    """Which kinds come how, when the daily summary goes out, quiet hours, and how many messages are too many."""

    daily_at = forms.TimeField(label="Daily summary at", widget=_CLOCK)
    quiet_from = forms.TimeField(label="Quiet from", required=False, widget=_CLOCK)
    quiet_until = forms.TimeField(label="Quiet until", required=False, widget=_CLOCK)
    time_zone = forms.CharField(
        label="Time zone", required=False, max_length=40, help_text="Such as Europe/London; empty: the organization's."
    )
    most = forms.IntegerField(label="Single messages at most", min_value=1, max_value=1_000)
    within_minutes = forms.IntegerField(label="Within minutes", min_value=1, max_value=1_440)

    def __init__(self, data: Any = None, *, row: NoticeSettings) -> None:
        names = ("daily_at", "quiet_from", "quiet_until", "time_zone", "most", "within_minutes")
        super().__init__(data, initial={name: getattr(row, name) for name in names})
        for kind in notice_kinds():
            for way, label in WAYS.items():
                self.fields[f"{kind.key}:{way}"] = forms.ChoiceField(
                    label=f"{kind.label}, by {label.lower()}",
                    choices=_choices(kind),
                    initial=_initial(row, kind, way),
                    widget=forms.Select(attrs={"aria-label": f"{kind.label}, by {label.lower()}"}),
                )

    def rules(self) -> Iterator[tuple[NoticeKind, list[BoundField]]]:
        """The kinds, each with its fields in the order of the ways."""
        for kind in notice_kinds():
            yield kind, [self[f"{kind.key}:{way}"] for way in WAYS]

    def times(self) -> list[BoundField]:
        """The fields about clocks."""
        return [self[name] for name in ("daily_at", "quiet_from", "quiet_until", "time_zone")]

    def measure(self) -> list[BoundField]:
        """The fields about how many are too many."""
        return [self["most"], self["within_minutes"]]

    def clean_time_zone(self) -> str:
        """A zone that exists."""
        name: str = self.cleaned_data["time_zone"]
        if name and name not in available_timezones():
            raise forms.ValidationError("No zone is called so; write one such as Europe/London.")
        return ZoneInfo(name).key if name else ""

    def clean(self) -> dict[str, Any]:
        """Quiet hours have a beginning and an end."""
        values = super().clean() or self.cleaned_data
        begins, ends = values.get("quiet_from"), values.get("quiet_until")
        if not {"quiet_from", "quiet_until"} & self.errors.keys():
            if (begins is None) != (ends is None):
                self.add_error("quiet_until" if ends is None else "quiet_from", "Say both, or neither.")
            elif begins is not None and begins == ends:
                self.add_error("quiet_until", "Quiet hours end at another time than they begin.")
        return values

    def chosen(self) -> dict[str, Any]:
        """What was chosen, as the service takes it; only what differs from “at once” is kept."""
        rules: dict[str, dict[str, str]] = {}
        plain = {}
        for name, value in self.cleaned_data.items():
            kind, _, way = name.partition(":")
            if not way:
                plain[name] = value
            elif value != How.AT_ONCE:
                rules.setdefault(kind, {})[way] = value
        return {**plain, "rules": rules}


def _choices(kind: NoticeKind) -> list[tuple[str, str]]:
    allowed = (How.AT_ONCE, How.NEVER) if kind.starts_a_clock else How
    return [(how.value, str(how.label)) for how in allowed]


def _initial(row: NoticeSettings, kind: NoticeKind, way: str) -> str:
    how = row.how(kind.key, way)
    return how.value if how.value in dict(_choices(kind)) else How.AT_ONCE.value


class ChannelForm(forms.Form):
    """A new channel."""

    name = forms.CharField(label="Name", max_length=60, help_text="How you call it.")
    address = forms.CharField(
        label="Address",
        max_length=known.LONGEST_ADDRESS,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Such as slack://TokenA/TokenB/TokenC or jsons://host/path. Stored encrypted and never shown again.",
    )

    def clean_address(self) -> str:
        """Refuse what would be refused when something is sent."""
        address: str = self.cleaned_data["address"]
        try:
            known.read(address)
        except AddressRefused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return address


class SharedChannelForm(ChannelForm):
    """A new channel of a team or of everybody, with the kinds of notice it is sent."""

    team = forms.ModelChoiceField(
        Team.objects.none(), required=False, empty_label="Everybody", help_text="Whose notices are sent there."
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds of notice",
        choices=lambda: [(kind.key, kind.label) for kind in notice_kinds()],
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, member: Membership, **options: Any) -> None:
        super().__init__(*args, **options)
        teams: Any = self.fields["team"]
        teams.queryset = Team.objects.filter(organization_id=member.organization_id)

    def plain(self) -> list[BoundField]:
        """The fields that are one line each."""
        return [self[name] for name in ("name", "address", "team")]
