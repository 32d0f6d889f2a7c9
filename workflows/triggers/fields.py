"""Forms declared in a workflow: fields as data, and the Django form that is made of them."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from django import forms

from opsdesk.lib.money import BadAmount, Money

MOST_FIELDS = 30
MOST_CHOICES = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
TYPES = ("text", "long_text", "number", "amount", "date", "choice", "flag")
SETTINGS = ("name", "type", "label", "help", "required", "choices")
# What every sent form says besides its own fields.
GIVEN = ("reference", "requested_by", "requested_at")


def check(declared: object) -> list[str]:
    """Sentences about what is wrong with the fields of a form; none means it can be shown."""
    if not isinstance(declared, list) or not declared:
        return ["a form needs a list of fields."]
    if len(declared) > MOST_FIELDS:
        return [f"a form has at most {MOST_FIELDS} fields."]
    problems = [f"field {place}: {text}" for place, field in enumerate(declared, start=1) for text in _problems(field)]
    names = [str(field.get("name")) for field in declared if isinstance(field, Mapping)]
    return problems + [f"two fields are named “{name}”." for name in sorted({n for n in names if names.count(n) > 1})]


def _problems(field: object) -> list[str]:
    if not isinstance(field, Mapping):
        return [f"a field is names with values: {', '.join(SETTINGS)}."]
    found = [f"there is no setting “{str(name)[:30]}”." for name in field if name not in SETTINGS]
    name, kind = field.get("name"), field.get("type", "text")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        found.append("its name is a word of small letters, digits and _.")
    elif name in GIVEN:
        found.append(f"“{name}” is filled in by the desk.")
    if kind not in TYPES:
        found.append(f"there is no type “{str(kind)[:20]}”; there is {', '.join(TYPES)}.")
    found += [
        f"its {setting} is a text of at most 200 characters."
        for setting in ("label", "help")
        if not isinstance(field.get(setting, ""), str) or len(field.get(setting, "")) > 200
    ]
    if not str(field.get("label", "")).strip():
        found.append("it needs a label.")
    if not isinstance(field.get("required", True), bool):
        found.append("required is true or false.")
    return found + _choice_problems(kind, field.get("choices"))


def _choice_problems(kind: object, choices: object) -> list[str]:
    if kind != "choice":
        return [] if choices is None else ["only a field of the type choice has choices."]
    if not isinstance(choices, list) or not 1 <= len(choices) <= MOST_CHOICES:
        return [f"its choices are a list of 1 to {MOST_CHOICES} texts."]
    if not all(isinstance(choice, str) and 0 < len(choice) <= 60 for choice in choices):
        return ["a choice is a text of at most 60 characters."]
    return [] if len(set(choices)) == len(choices) else ["two choices are the same."]


class AmountField(forms.CharField):
    """Digits with a point; the currency stands beside it."""

    def clean(self, value: Any) -> Any:
        """The text of an amount above zero; raises ValidationError."""
        text = super().clean(value)
        if not text:
            return text
        try:
            # Which decimals fit depends on the currency, which is looked at with the whole form.
            amount = Money.parse(text, "CLF")
        except BadAmount as refusal:
            raise forms.ValidationError("Write digits with a point, such as 12.50.") from refusal
        if amount.minor <= 0:
            raise forms.ValidationError("The amount must be above zero.")
        return text


def form_of(declared: Sequence[Mapping[str, Any]]) -> type[forms.Form]:
    """The form class of checked declarations."""
    return type("DeclaredForm", (forms.Form,), {field["name"]: _field_of(field) for field in declared})


def _field_of(field: Mapping[str, Any]) -> forms.Field:
    common: dict[str, Any] = {
        "label": field["label"],
        "help_text": field.get("help", ""),
        # A box that must be ticked is said so; any other field is asked for unless it may stay empty.
        "required": field.get("required", field.get("type") != "flag"),
    }
    match field.get("type", "text"):
        case "long_text":
            return forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 4}), **common)
        case "number":
            return forms.IntegerField(min_value=-(10**12), max_value=10**12, **common)
        case "amount":
            attrs = {"inputmode": "decimal", "autocomplete": "off", "placeholder": "12.50"}
            return AmountField(max_length=24, widget=forms.TextInput(attrs=attrs), **common)
        case "date":
            return forms.DateField(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), **common)
        case "choice":
            choices = [(choice, choice) for choice in field["choices"]]
            return forms.ChoiceField(choices=choices if len(choices) == 1 else [("", "Choose"), *choices], **common)
        case "flag":
            return forms.BooleanField(**common)
    return forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "off"}), **common)


def sent(form: forms.Form) -> dict[str, Any]:
    """What a valid form says, as plain JSON; fields left empty are left out."""
    filled = {name: value for name, value in form.cleaned_data.items() if value not in (None, "")}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in filled.items()}
