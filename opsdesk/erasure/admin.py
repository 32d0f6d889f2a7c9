"""Erasing a person from the screen: looked at first, proposed by one person, put in force by another, and told."""

import copy
from typing import Any

from django.contrib import admin
from django.forms import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.errors import NotAllowed
from accounts.recorded import REASON, RecordedAdmin, RecordedForm
from accounts.roles import Permission
from accounts.snapshots import Snapshot
from auditlog.services import Actor
from opsdesk.erasure import agreed, erasing, looking
from opsdesk.lib import clock
from opsdesk.models import PersonErasure


class ErasureForm(RecordedForm):
    """Whom; the reason is asked for as everywhere, and loses their name with the rest."""

    class Meta:
        model = PersonErasure
        fields = ["organization", "kind", "name"]

    def clean_name(self) -> str:
        """Somebody is named."""
        name = str(self.cleaned_data["name"])
        if not name:
            raise ValidationError("Say whom.")
        return name


@admin.register(PersonErasure)
class PersonErasureAdmin(RecordedAdmin):
    """Always two people, of those who say what is kept: what is erased does not come back."""

    noun = "opsdesk.personerasure"
    permission = Permission.KEEP_AUDIT
    second_person = True
    withheld = ["name"]
    form = ErasureForm
    change_form_template = "admin/erasure_change_form.html"
    list_display = ["__str__", "cases", "agreed_by", "agreed_at", "done_at"]
    list_select_related = ["agreed_by"]
    readonly_fields = ["mark", "cases", "what", "agreed_by", "agreed_at", "done_at"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Asking names somebody; afterwards there is only what it came to."""
        if obj is None:
            told = "All their cases must be closed, and no legal hold may keep one."
            return [
                (None, {"fields": ["organization", "kind", "name"], "description": told}),
                ("Why", {"fields": [REASON]}),
            ]
        return [(None, {"fields": ["kind", "mark", "cases", "what", "agreed_by", "agreed_at", "done_at"]})]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was agreed on stands."""
        return super().has_change_permission(request, obj) and obj is None

    @admin.display(description="cleared")
    def what(self, erasure: PersonErasure) -> SafeString:
        """How many rows of what."""
        return format_html_join("", "{}: {}<br>", erasure.cleared.items())

    def get_urls(self) -> list[URLPattern]:
        """What was done, as a file."""
        view = self.admin_site.admin_view(self.export)
        return [path("<int:pk>/export/", view, name="opsdesk_personerasure_export"), *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Look first, if that was asked for: the same form with what would happen below it."""
        context = {**(extra_context or {}), "stays": looking.STAYS}
        if object_id is None and request.method == "POST" and "look" in request.POST:
            form = self.get_form(request, change=False)(request.POST)
            form.fields[REASON].required = False
            if form.is_valid():
                context["preview"] = looking.preview(agreed.person_of(form.instance))
                again = copy.copy(request)
                again.method, again.GET = "GET", request.POST
                return super().changeform_view(again, None, form_url, context)
        elif object_id is not None and object_id.isdecimal():
            context["export_url"] = reverse("admin:opsdesk_personerasure_export", args=[object_id])
        return super().changeform_view(request, object_id, form_url, context)

    def are_two_asked(self, request: HttpRequest, row: Any, form: Any) -> bool:
        """Always, whatever the organization asks for otherwise."""
        return True

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Say what would be cleared; refused while something is to be done for the person, or the law keeps it."""
        person = agreed.person_of(obj)
        found = looking.preview(person)
        if found.refusal:
            raise NotAllowed(found.refusal)
        obj.mark, obj.cases, obj.cleared = person.mark, found.cases, found.cleared
        if getattr(request, "proposal", None) is not None:
            obj.agreed_by, obj.agreed_at = request.user, clock.now()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep it as a proposal; put in force by another person it is carried out, where this process may."""
        super().save_related(request, form, formsets, change)
        if not looking.may_erase():
            return
        by = Actor.person(request.user)  # type: ignore[arg-type]
        try:
            done = agreed.carry_out(form.instance.pk, actor=by, reason=form.cleaned_data[REASON])
        except erasing.NotErasable as refused:
            raise NotAllowed(str(refused)) from refused
        form.instance.name = done.name

    def tell(
        self, request: HttpRequest, row: Any, before: Snapshot, after: Snapshot, *, reason: str, change: bool
    ) -> None:
        """The proposal is told, and the erasing itself, without whatever names the person."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Without the reason, which may name the person."""
        return "Agreed on by two people."

    def export(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What was done and what stays, for whoever asked to be erased or for the authority."""
        erasure = self.get_object(request, str(pk))
        if erasure is None or not self.has_view_permission(request, erasure):
            raise Http404
        told = {
            "mark": erasure.mark,
            "kind": erasure.kind,
            "cases": erasure.cases,
            "cleared": erasure.cleared,
            "stays": [{"what": what, "why": why} for what, why in looking.STAYS],
            "agreed_at": erasure.agreed_at,
            "done_at": erasure.done_at,
        }
        name = f'attachment; filename="erasure-{erasure.pk}.json"'
        return JsonResponse(told, headers={"Content-Disposition": name})
