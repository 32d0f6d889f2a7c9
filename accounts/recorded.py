"""The base of every admin page: rows of the own organization, nothing deleted, each change recorded and reasoned."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ImproperlyConfigured
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.functional import cached_property

from accounts import journal, proposals
from accounts.errors import NotAllowed
from accounts.models import Organization
from accounts.roles import Permission
from accounts.site import is_founding
from accounts.snapshots import Snapshot, difference, snapshot

REASON = "change_reason"


def reason_field() -> forms.CharField:
    """The question every change answers."""
    return forms.CharField(
        label="Reason for this change",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 80}),
        help_text="Kept in the audit log beside what was changed, before and after.",
    )


class RecordedForm(forms.ModelForm):
    """A form whose changes are recorded."""

    change_reason = reason_field()


class OwnRows(admin.options.BaseModelAdmin):
    """Offers only rows of the own organization, because a choice is asked of the page that shows its model."""

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> "models.QuerySet[Any] | None":
        """The rows a person may point at are those the admin shows to them."""
        related = db_field.remote_field.model
        if not self.admin_site.is_registered(related):
            raise ImproperlyConfigured(f"{db_field} offers rows of {related}, which no admin page limits.")
        return self.admin_site.get_model_admin(related).get_queryset(request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The organization is the member's own and cannot be chosen."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        membership = getattr(request, "membership", None)
        if db_field.remote_field.model is Organization and membership is not None and field is not None:
            field.initial, field.disabled = membership.organization_id, True
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Of a moment's two boxes each says what it is: the label belongs to both."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, AdminSplitDateTime):
            for part, widget in zip(("date", "time"), field.widget.widgets, strict=True):
                widget.attrs["aria-label"] = f"{field.label}, {part}"
        return field


class RecordedAdmin(OwnRows, admin.ModelAdmin):
    """A page whose changes are recorded with reason, before and after, and that shows the own organization only."""

    # Prefix of the audit verbs, such as accounts.team; its last word is the subject's kind.
    noun: ClassVar[str]
    added, changed = "added", "changed"
    # From a row to its organization's key, in the words of a filter.
    organization_path: ClassVar[str] = "organization_id"
    # Accessors of rows that are edited and recorded with this one.
    children: ClassVar[Sequence[str]] = ()
    # Fields of which only the change is recorded: secrets and personal data.
    withheld: ClassVar[Sequence[str]] = ()
    # Fields that are given once: other systems, addresses or files know them.
    given_once: ClassVar[Sequence[str]] = ()
    # Whether another person puts changes in force, where the organization asks for it, and which of them.
    second_person: ClassVar[bool] = False
    waiting_words: ClassVar[str] = (
        "What gives or changes a right waits until another person puts it in force. Taking a right away takes effect "
        "at once."
    )
    # What a member must be allowed to see the page and change its rows.
    permission: ClassVar[Permission] = Permission.CONFIGURE
    # Also shown to a superuser who founds the first organization.
    for_founding: ClassVar[bool] = False

    form = RecordedForm
    change_form_template = "admin/recorded_change_form.html"
    actions = None
    list_per_page = 50
    show_full_result_count = False
    view_on_site = False

    # Who may do what. Nothing here asks Django's own permission tables: the role decides.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """History hangs on these rows: they are switched off or ended, never deleted."""
        return False

    def _may(self, request: HttpRequest) -> bool:
        membership = getattr(request, "membership", None)
        may = membership is not None and bool(membership.may(self.permission))
        return may or (self.for_founding and is_founding(request))

    def get_queryset(self, request: HttpRequest) -> "models.QuerySet[Any]":
        """Rows of the member's own organization; whoever founds sees all of the few pages they have."""
        rows = super().get_queryset(request)
        membership = getattr(request, "membership", None)
        if membership is None:
            return rows if is_founding(request) else rows.none()
        return rows.filter(**{self.organization_path: membership.organization_id})

    # The form: what is given once, and why.

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Fields that are given once stand still afterwards."""
        return [*super().get_readonly_fields(request, obj), *(self.given_once if obj is not None else ())]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The page's own fieldsets, and the question why, for whoever may change something."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        own = [
            (name, {**options, "fields": [field for field in options["fields"] if field != REASON]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        return [*own, ("Why", {"fields": [REASON]})] if may else own

    # Recording, in the transaction of the change.

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save, having taken down the row as it was, under its lock."""
        form.before = {}
        if change:
            stored = type(obj)._default_manager.select_for_update(of=("self",)).get(pk=obj.pk)
            self.check_still_editable(stored)
            form.before = snapshot(stored, children=self.children)
        super().save_model(request, obj, form, change)

    def check_still_editable(self, stored: Any) -> None:
        """Raise when the row, now locked, may no longer be changed."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what belongs to the row, then record what is different."""
        super().save_related(request, form, formsets, change)
        stored = type(form.instance)._default_manager.get(pk=form.instance.pk)
        after = snapshot(stored, children=self.children)
        self._ask_second_person(request, stored, form, after, change=change)
        self.tell(request, stored, form.before, after, reason=form.cleaned_data[REASON], change=change)

    def are_two_asked(self, request: HttpRequest, row: Any, form: Any) -> bool:
        """Whether the organization asks for another person, as it was before this change."""
        return proposals.are_asked(self.organization_id_of(request, row))

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """Whether a change, as it was and as it is, needs another person."""
        return self.second_person

    def _ask_second_person(self, request: HttpRequest, row: Any, form: Any, after: Snapshot, *, change: bool) -> None:
        """Raise Proposed for a change that waits; what another person puts in force is of the row they looked at."""
        proposal = getattr(request, "proposal", None)
        if proposal is not None:
            if proposals.stamp_of(form.before) != proposal.stamp:
                raise NotAllowed(f"{row} was changed since this was proposed: throw it away, and propose it anew.")
            proposal.is_taken = True
            return
        was, now = difference(form.before, after, withheld=self.withheld)
        if not (was or now) or not self.asks_second_person(was, now, change=change):
            return
        if self.are_two_asked(request, row, form):
            reason = form.cleaned_data[REASON]
            raise proposals.Proposed(row, before=form.before, was=was, now=now, reason=reason)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Keep as a proposal what needs another person; refuse in words what would shut everybody out."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except proposals.Proposed as change:
            if getattr(request, "proposal", None) is not None:
                raise
            proposal = proposals.make(
                change,
                page=self.opts.label_lower,
                row_id=None if object_id is None else int(object_id),
                organization_id=request.membership.organization_id,  # type: ignore[attr-defined]
                form=dict(request.POST.lists()),
                by=request.user,  # type: ignore[arg-type]
                permission=self.permission,
            )
            messages.success(request, "Proposed. It takes effect when another person puts it in force.")
            return redirect("admin:accounts_proposal_change", proposal.pk)
        except NotAllowed as refusal:
            if getattr(request, "proposal", None) is not None:
                raise
            messages.error(request, str(refusal))
            return redirect(request.path)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Say beforehand whether another person will be asked."""
        membership = getattr(request, "membership", None)
        asked = self.second_person and membership is not None and proposals.are_asked(membership.organization_id)
        words = self.waiting_words if asked else ""
        return super().render_change_form(request, {**context, "waiting_words": words}, *args, **kwargs)

    def tell(
        self, request: HttpRequest, row: Any, before: Snapshot, after: Snapshot, *, reason: str, change: bool
    ) -> None:
        """Record a change; nothing when nothing is different."""
        was, now = difference(before, after, withheld=self.withheld)
        if not was and not now:
            return
        proposal = getattr(request, "proposal", None)
        if proposal is not None:
            reason = f"{reason} (proposed by {proposal.proposed_by})"
        journal.tell(
            f"{self.noun}.{self.changed if change else self.added}",
            user=request.user,
            organization_id=self.organization_id_of(request, row),
            subject=(self.noun.rpartition(".")[2], row.pk),
            reason=reason,
            before=was,
            after=now,
        )

    def organization_id_of(self, request: HttpRequest, row: Any) -> int:
        """The organization whose audit log tells of the row."""
        for step in self.organization_path.split("__"):
            row = getattr(row, step)
        return int(row)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """What the page's own history shows: which fields, and the reason."""
        parts = super().construct_change_message(request, form, formsets, add)
        for part in parts:
            fields = part.get("changed", {}).get("fields")
            if fields:
                fields[:] = [name for name in fields if name != "Reason for this change"]
        text = LogEntry(change_message=json.dumps(parts)).get_change_message()
        return f"{text} Reason: {form.cleaned_data[REASON]}"


class CappedPaginator(Paginator):
    """Pages of a table that only grows: what is counted ends here, so that opening the list stays quick."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        """How many rows there are, as far as it matters."""
        rows: Any = self.object_list
        return int(rows[: self.most].count())


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that nobody edits, of the own organization."""

    organization_path: ClassVar[str] = "organization_id"
    permission: ClassVar[Permission] = Permission.CONFIGURE
    actions = None
    # Counting every choice of a filter reads the whole table.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    show_full_result_count = False
    view_on_site = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        membership = getattr(request, "membership", None)
        return membership is not None and bool(membership.may(self.permission))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> "models.QuerySet[Any]":
        """Rows of the member's own organization."""
        rows = super().get_queryset(request)
        membership = getattr(request, "membership", None)
        return rows.filter(**{self.organization_path: membership.organization_id}) if membership else rows.none()


class NamedFields:
    """A formset whose fields say their names themselves."""

    def add_fields(self, form: forms.Form, index: int | None) -> None:
        """Also the field with which a row is taken away."""
        super().add_fields(form, index)  # type: ignore[misc]
        for name, field in form.fields.items():
            # A choice of rows is wrapped in its buttons.
            widget: Any = getattr(field.widget, "widget", field.widget)
            widget.attrs.setdefault("aria-label", str(field.label or name.replace("_", " ")))


class OwnInline(OwnRows, admin.options.InlineModelAdmin):
    """Rows edited on their parent's page: whoever may edit the parent may add, change and remove them."""

    extra = 0

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        """The rows' forms, each field with its name for a screen reader: in a table only the column's head shows it."""
        formset = super().get_formset(request, obj, **options)
        return type(formset.__name__, (NamedFields, formset), {})

    def _may_edit(self, request: HttpRequest, parent: Any) -> bool:
        page = self.admin_site.get_model_admin(self.parent_model)
        if parent is None:
            return bool(page.has_add_permission(request))
        return bool(page.has_change_permission(request, parent))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.admin_site.get_model_admin(self.parent_model).has_view_permission(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any) -> bool:  # type: ignore[override]
        return self._may_edit(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_edit(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_edit(request, obj)
