"""Rule sets: conditions over declared facts, read back in words, published by a second person."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.recorded import OwnInline
from opsdesk.lib.errors import DomainError
from workflows import comparing, dry_run_jobs, rules
from workflows.admin.catalogue import facts_in_use
from workflows.admin.editions import EditionAdmin
from workflows.admin.forms import DryRunForm, RulePlaceForm, RuleSetForm
from workflows.admin.formsets import OrderedFormSet
from workflows.dry_runs import content_of
from workflows.models import DryRun, Rule, RuleSet
from workflows.publishing import RULE_SETS, new_draft_rules
from workflows.states import DryRunState, VersionState


class RuleInline(OwnInline, admin.TabularInline):
    """The rules in words; their order is the order in which they are told, the strictest wins wherever it stands."""

    model = Rule
    form = RulePlaceForm
    formset = OrderedFormSet
    fields = ["position", "told"]
    readonly_fields = ["told"]

    def has_add_permission(self, request: HttpRequest, obj: Any) -> bool:  # type: ignore[override]
        """A rule is added on a page of its own."""
        return False

    @admin.display(description="rule")
    def told(self, rule: Rule) -> SafeString:
        """The rule's name, as the way to its page, and what it says."""
        place = reverse("admin:workflows_rule_change", args=[rule.pk])
        said = " ".join(rules.check(rule.conditions)) or rules.words(rule)
        return format_html('<a href="{}">{}</a><br>{}', place, rule.name, said)


@admin.register(RuleSet)
class RuleSetAdmin(EditionAdmin):
    """The rules of a workflow, drafted and published together."""

    noun = "workflows.rule_set"
    children = ["rules"]
    editions = RULE_SETS
    copy = new_draft_rules
    compare = comparing.rule_sets
    retired_words = "No rule is asked then, so people decide about every case."
    change_form_template = "admin/rule_set_change_form.html"
    form = RuleSetForm
    inlines = [RuleInline]
    fieldsets = [
        (
            None,
            {
                "fields": ["workflow", "edited"],
                "description": "Every rule is asked about every case, and the strictest answer wins. A fact that is "
                "not known sends the case to people, whatever the rule asks for.",
            },
        ),
    ]

    def describe(self, edition: RuleSet) -> list[str]:
        """One line a rule."""
        return [f"{rule.name}: {rules.words(rule)}" for rule in edition.rules.order_by("position")]

    def trial(self, edition: RuleSet) -> DryRun | None:
        """The last finished dry run of just these rules."""
        content = content_of(edition)
        return edition.dry_runs.filter(content=content, state=DryRunState.DONE).order_by("-pk").first()

    def get_urls(self) -> list[URLPattern]:
        """The catalogue of facts stands beside the rules."""
        wrap = self.admin_site.admin_view
        return [
            path("facts/", wrap(self.catalogue), name="workflows_ruleset_facts"),
            path("<int:pk>/try/", wrap(self.try_page), name="workflows_ruleset_try"),
            *super().get_urls(),
        ]

    def try_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a dry run over past cases, and see those asked for before."""
        rule_set: Any = self.get_object(request, str(pk))
        if rule_set is None or not self.has_view_permission(request, rule_set):
            raise Http404
        form = DryRunForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                dry_run = dry_run_jobs.ask(rule_set, most=form.cleaned_data["most"], by=request.user)  # type: ignore[arg-type]
            except DomainError as refusal:
                form.add_error(None, str(refusal))
            else:
                return redirect("workflows:dry_run", dry_run.pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": rule_set,
            "title": f"Try on past cases: {rule_set}",
            "form": form,
            "earlier": rule_set.dry_runs.select_related("by")[:20],
        }
        return TemplateResponse(request, "admin/dry_run.html", context)

    def catalogue(self, request: HttpRequest) -> HttpResponse:
        """Every fact: what it says, its type and source, and who asks for it."""
        membership = request.membership  # type: ignore[attr-defined]
        facts = facts_in_use(membership.organization_id) if membership is not None else []
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Facts", "facts": facts}
        return TemplateResponse(request, "admin/fact_catalogue.html", context)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Add the ways to a new rule and to a dry run."""
        rule_set = kwargs.get("obj")
        if rule_set is not None:
            context["try_url"] = self._url("try", rule_set)
        if rule_set is not None and rule_set.state == VersionState.DRAFT:
            context["new_rule_url"] = f"{reverse('admin:workflows_rule_add')}?rule_set={rule_set.pk}"
        return super().render_change_form(request, context, *args, **kwargs)
