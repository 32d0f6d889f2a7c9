"""Workflows and their versions: steps as rows, and as YAML in and out."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.recorded import REASON, OwnInline, RecordedAdmin
from opsdesk.lib.errors import DomainError
from workflows import comparing
from workflows.admin.editions import EditionAdmin
from workflows.admin.forms import ImportForm, StepForm, StrictJSONField, TriggerForm, VersionForm
from workflows.admin.formsets import OrderedFormSet
from workflows.checking import FIELDS
from workflows.engine.turns import KEY_FIELDS
from workflows.models import Step, Trigger, Workflow, WorkflowVersion
from workflows.publishing import VERSIONS, export_pack, import_pack, new_draft
from workflows.rehearsing import rehearse
from workflows.triggers import kinds
from workflows.triggers.showing import stand

JSON: dict[Any, Any] = {models.JSONField: {"form_class": StrictJSONField}}


@admin.register(Workflow)
class WorkflowAdmin(RecordedAdmin):
    """A named process with its kill switch. A new one comes with a pack that is imported."""

    noun = "workflows.workflow"
    given_once = ["organization", "slug"]
    list_display = ["name", "slug", "enabled"]
    readonly_fields = ["editions"]
    fieldsets = [
        (None, {"fields": ["organization", "name", "slug", "editions"]}),
        (
            "Kill switch",
            {
                "fields": ["enabled"],
                "description": "Off: nothing is sent outside for this workflow. What arrives meanwhile is kept.",
            },
        ),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="versions")
    def editions(self, workflow: Workflow) -> SafeString:
        """Links to its versions, newest first."""
        rows = [
            (reverse("admin:workflows_workflowversion_change", args=[version.pk]), version, version.get_state_display())
            for version in workflow.versions.select_related("workflow").order_by("-number")[:20]
        ]
        return format_html_join(", ", '<a href="{}">{}</a> ({})', rows)


class StepInline(OwnInline, admin.StackedInline):
    """The steps in their order."""

    model = Step
    form = StepForm
    formset = OrderedFormSet
    formfield_overrides = JSON
    fields = [("position", "key", "kind"), "config", "when", "match"]


class TriggerInline(OwnInline, admin.StackedInline):
    """What begins a run besides the event type above."""

    model = Trigger
    form = TriggerForm
    formset = OrderedFormSet
    formfield_overrides = JSON
    fields = [("position", "key", "kind"), "config", "in_words"]
    readonly_fields = ["in_words"]

    @admin.display(description="read back")
    def in_words(self, trigger: Trigger) -> str:
        """The saved trigger as a sentence, with when it last fired and when it would next."""
        if trigger._state.adding:
            return "Shown here once it is saved."
        problems = kinds.check(trigger.kind, trigger.config)
        if problems:
            return " ".join(problems)
        return f"Begins a run when {kinds.KINDS[trigger.kind].words(trigger.config)}. {stand(trigger)}"


@admin.register(WorkflowVersion)
class VersionAdmin(EditionAdmin):
    """Versions of workflows: what opens a case, and the steps it goes through."""

    noun = "workflows.version"
    children = ["steps", "triggers"]
    editions = VERSIONS
    copy = new_draft
    compare = comparing.versions
    retired_words = "Runs under way keep it. What would open a case is then set aside as nothing anybody waits for."
    form = VersionForm
    inlines = [TriggerInline, StepInline]
    formfield_overrides = JSON
    change_list_template = "admin/version_change_list.html"
    fieldsets = [
        (
            None,
            {
                "fields": ["workflow", "case_kind", "edited"],
                "description": "Runs keep the version they began with; publishing concerns new cases only.",
            },
        ),
        ("Events", {"fields": ["opened_by", "withdrawn_by"]}),
        (
            "Fields",
            {
                "fields": ["fields"],
                "description": "Names of a case's fields with names of the event's fields. "
                f"A case has: {', '.join(FIELDS)}.",
            },
        ),
        (
            "Side by side",
            {
                "fields": ["priority", "concurrency", "debounce_seconds"],
                "description": f'One at a time may go by: {", ".join(KEY_FIELDS)}. As a list, such as ["party"].',
            },
        ),
    ]

    def describe(self, edition: WorkflowVersion) -> list[str]:
        """The pack's text without its rules, which are published for themselves."""
        return export_pack(edition, rules=False).splitlines()

    def get_urls(self) -> list[URLPattern]:
        """Import for the list, export for one version."""
        wrap = self.admin_site.admin_view
        return [
            path("import/", wrap(self.import_page), name="workflows_workflowversion_import"),
            path("<int:pk>/export/", wrap(self.export), name="workflows_workflowversion_export"),
            *super().get_urls(),
        ]

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """Take a pack in as drafts, or only say what that would do."""
        if not self.has_add_permission(request):
            raise Http404
        looking = "look" in request.POST
        form = ImportForm(request.POST or None, request.FILES or None, looking=looking)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Import a pack"}
        if request.method == "POST" and form.is_valid():
            organization = request.membership.organization  # type: ignore[attr-defined]
            given = form.cleaned_data
            if looking:
                context["rehearsal"] = rehearse(organization, given["text"])
                # What came as a file stands in the form now: no browser sends a file twice by itself.
                form = ImportForm(initial={"text": given["text"], REASON: given[REASON]})
                return TemplateResponse(request, "admin/import_pack.html", {**context, "form": form})
            try:
                version = import_pack(organization, given["text"], by=request.user, reason=given[REASON])  # type: ignore[arg-type]
            except DomainError as refusal:
                form.add_error(None, str(refusal))
            else:
                messages.success(request, f"{version} and its rules are drafts now.")
                return redirect("admin:workflows_workflowversion_change", version.pk)
        return TemplateResponse(request, "admin/import_pack.html", {**context, "form": form})

    def export(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The version as a YAML file."""
        version: Any = self.get_object(request, str(pk))
        if version is None or not self.has_view_permission(request, version):
            raise Http404
        name = f"{version.workflow.slug}-v{version.number}.yaml"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(export_pack(version), content_type="application/yaml", headers=headers)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Add the button for the file."""
        if kwargs.get("obj") is not None:
            context["export_url"] = self._url("export", kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)
