"""Rows with a number that is unique among them, edited together on their parent's page."""

from typing import Any, ClassVar

from django.db.models import F
from django.forms.models import BaseInlineFormSet


class AsideFormSet(BaseInlineFormSet):
    """Rows that may swap their numbers: all step aside before each takes its new one."""

    number: ClassVar[str]
    away: ClassVar[int]

    def add_fields(self, form: Any, index: int | None) -> None:
        """Compare the number with the other rows of the form only, not with what is stored."""
        super().add_fields(form, index)
        exclusions = form._get_validation_exclusions
        form._get_validation_exclusions = lambda: exclusions() | {self.number}

    def staying(self) -> list[Any]:
        """The forms of rows that will be there afterwards."""
        return [
            form
            for form in self.forms
            if form not in self.deleted_forms and (form.instance.pk is not None or form.has_changed())
        ]

    def arrange(self, forms: list[Any]) -> None:
        """Give the staying rows their numbers, where the forms have not done so."""

    def save(self, commit: bool = True) -> Any:
        """Step aside, arrange, save; rows that nobody touched are put back."""
        staying = self.staying()
        rows = getattr(self.instance, str(self.fk.remote_field.get_accessor_name()))
        rows.update(**{self.number: F(self.number) + self.away})
        self.arrange(staying)
        saved = super().save(commit)
        for form in staying:
            if form.instance.pk is not None and not form.has_changed():
                form.instance.save(update_fields=[self.number])
        return saved


class OrderedFormSet(AsideFormSet):
    """Rows numbered as people like; they are saved as 1, 2, 3 in that order, new ones without a number last."""

    number = "position"
    away = 10_000

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["position"].required = False
        form.fields["position"].max_value = self.away - 1
        form.fields["position"].widget.attrs["max"] = self.away - 1
        if form.instance.pk is None:
            form.fields["position"].initial = None

    def arrange(self, forms: list[Any]) -> None:
        """Number by what was typed."""
        forms.sort(key=lambda form: form.cleaned_data.get("position") or self.away)
        for place, form in enumerate(forms, start=1):
            form.instance.position = place
