"""Forms of the admin about definitions: settings as strict JSON, drafts, and the question why."""

import json
from typing import Any, NoReturn

from django import forms
from django.core.exceptions import ValidationError

from accounts.recorded import REASON, RecordedForm, reason_field
from workflows import registry
from workflows.admin.conditions import ConditionsField
from workflows.checking import FIELDS
from workflows.models import Rule, RuleSet, Step, Trigger, WorkflowVersion
from workflows.publishing import IN_CONDITION, in_order
from workflows.triggers import kinds

LARGEST = 20_000  # characters of one JSON field


class StrictJSONField(forms.JSONField):
    """JSON that PostgreSQL can keep: no NaN, no infinity, no NUL, no lone surrogate, no abyss."""

    widget = forms.Textarea(attrs={"rows": 5, "cols": 80, "spellcheck": "false", "class": "vLargeTextField"})

    def to_python(self, value: Any) -> Any:
        """The parsed value; raises ValidationError."""
        if isinstance(value, str) and len(value) > LARGEST:
            raise ValidationError(f"At most {LARGEST:,} characters.")
        try:
            if isinstance(value, str):
                json.loads(value or "null", parse_constant=_refuse)
            found = super().to_python(value)
            text = json.dumps(found, ensure_ascii=False)
            text.encode()
        except (ValueError, RecursionError) as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error
        if "\\u0000" in text:
            raise ValidationError("A text holds a character that cannot be stored.")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed comes back as it was typed, parsed by nobody."""
        return initial if self.disabled else data

    def prepare_value(self, value: Any) -> Any:
        """What is stored is laid out: one line an entry."""
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            lines = [f"{json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in value.items()]
            return _framed("{", lines, "}")
        if isinstance(value, list):
            return _framed("[", [json.dumps(_in_order(entry), ensure_ascii=False) for entry in value], "]")
        return json.dumps(value, ensure_ascii=False)


def _framed(opening: str, lines: list[str], closing: str) -> str:
    inside = ",\n".join(f"  {line}" for line in lines)
    return f"{opening}\n{inside}\n{closing}" if lines else f"{opening}{closing}"


def _in_order(condition: Any) -> Any:
    """A condition as it is spoken; the database keeps no order of names."""
    return in_order(condition, IN_CONDITION) if isinstance(condition, dict) else condition


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON.")


class VersionForm(RecordedForm):
    """What is worked on, and which events mean what."""

    class Meta:
        model = WorkflowVersion
        fields = [
            "workflow", "case_kind", "opened_by", "withdrawn_by", "fields",
            "priority", "concurrency", "debounce_seconds",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.initial.get("fields"), dict):
            self.initial["fields"] = in_order(self.initial["fields"], FIELDS)


class RuleSetForm(RecordedForm):
    """A rule set has nothing but its rules."""

    class Meta:
        model = RuleSet
        fields = ["workflow"]


class StepForm(forms.ModelForm):
    """One step; what its kind refuses is refused when it is saved, not when it runs."""

    kind = forms.ChoiceField(choices=lambda: [(name, name) for name in sorted(registry.step_kinds)])
    when = ConditionsField(
        required=False,
        label="Done when",
        help_text="No condition: always. A fact that is not known leaves nothing out; where money would move, a "
        "person is asked.",
    )

    class Meta:
        model = Step
        fields = ["position", "key", "kind", "when", "match", "config"]

    def clean(self) -> dict[str, Any]:
        """Ask the step's kind about its settings."""
        values = super().clean() or self.cleaned_data
        config = values.get("config") or {}
        if not isinstance(config, dict):
            self.add_error("config", "The settings are names with values, such as {}.")
        elif "kind" in values and "config" not in self.errors:
            for text in registry.step_kinds[values["kind"]].check(config):
                self.add_error("config", text)
        return {**values, "config": config}


class TriggerForm(forms.ModelForm):
    """One trigger; what its kind refuses is refused when it is saved."""

    class Meta:
        model = Trigger
        fields = ["position", "key", "kind", "config"]

    def clean(self) -> dict[str, Any]:
        """Ask the trigger's kind about its settings."""
        values = super().clean() or self.cleaned_data
        config = values.get("config") or {}
        if "kind" in values and "config" not in self.errors:
            for text in kinds.check(values["kind"], config):
                self.add_error("config", text)
        return {**values, "config": config}


class RulePlaceForm(forms.ModelForm):
    """Where a rule stands among the others; all else is on its own page."""

    class Meta:
        model = Rule
        fields = ["position"]


class RuleForm(RecordedForm):
    """One rule; conditions that could not be evaluated are refused when it is saved."""

    conditions = ConditionsField()

    class Meta:
        model = Rule
        fields = ["rule_set", "name", "match", "conditions", "effect", "tier"]


class ReasonForm(forms.Form):
    """The question why, before something is published, copied or thrown away."""

    change_reason = reason_field()


class DryRunForm(forms.Form):
    """Over how many past cases rules are tried."""

    most = forms.TypedChoiceField(
        label="Cases",
        coerce=int,
        initial=500,
        choices=[(100, "the last 100"), (500, "the last 500"), (2_000, "the last 2,000"), (10_000, "the last 10,000")],
        help_text="Those decided last by this workflow, newest first.",
    )


class ImportForm(ReasonForm):
    """A pack, as a file or as text."""

    file = forms.FileField(required=False, help_text="A .yaml file, at most 200 kB.")
    text = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 16, "cols": 100, "spellcheck": "false"})
    )
    field_order = ["file", "text", "change_reason"]

    def __init__(self, *args: Any, looking: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[REASON].required = not looking  # nothing changes, so nothing is to be explained

    def clean(self) -> dict[str, Any]:
        """One of the two, as text."""
        values = super().clean() or self.cleaned_data
        file = values.get("file")
        if bool(file) == bool(values.get("text")):
            raise ValidationError("Give a file or a text, one of the two.")
        if file:
            try:
                values["text"] = file.read(LARGEST * 10 + 1).decode()
            except UnicodeDecodeError as error:
                raise ValidationError("The file is not UTF-8 text.") from error
        return values
