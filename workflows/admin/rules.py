"""One rule on a page of its own: conditions by drop-downs, what follows, and the whole read back in words."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse

from accounts import journal
from accounts.recorded import RecordedAdmin
from accounts.snapshots import Snapshot, difference
from workflows import rules
from workflows.admin.forms import RuleForm
from workflows.models import Rule, RuleSet
from workflows.states import VersionState


@admin.register(Rule)
class RuleAdmin(RecordedAdmin):
    """Rules are found through their set; what happens to them is recorded as the set's."""

    noun = "workflows.rule_set"
    organization_path = "rule_set__workflow__organization_id"
    given_once = ["rule_set"]
    form = RuleForm
    change_form_template = "admin/rule_change_form.html"
    list_display = ["name", "rule_set"]
    readonly_fields = ["in_words"]
    fieldsets = [
        (None, {"fields": ["rule_set", "name"]}),
        ("When", {"fields": ["match", "conditions"]}),
        ("Then", {"fields": ["effect", "tier", "in_words"]}),
    ]

    @admin.display(description="read back")
    def in_words(self, rule: Rule) -> str:
        """The saved rule as a sentence."""
        if rule._state.adding:
            return "Shown here once it is saved."
        return " ".join(rules.check(rule.conditions)) or rules.words(rule)

    # Who may do what: the set's page is the way in, and only a draft's rules change.

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Not listed beside the sets."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.rule_set.state == VersionState.DRAFT)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("rule_set__workflow__organization")

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> "QuerySet[Any] | None":
        """A new rule goes into a draft."""
        rows = super().get_field_queryset(db, db_field, request)
        return rows.filter(state=VersionState.DRAFT) if rows is not None and db_field.name == "rule_set" else rows

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Where nothing can be changed, the sentence says more than the data."""
        found = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        return [fieldset for fieldset in found if fieldset[0] != "When"]

    # Saving, under the set's lock.

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A rule is saved while its set is a draft; a new one comes last."""
        rule_set = RuleSet.objects.select_for_update(of=("self",)).get(pk=obj.rule_set_id)
        if rule_set.state != VersionState.DRAFT:
            raise PermissionDenied
        if not change:
            obj.position = int(rule_set.rules.aggregate(last=Max("position"))["last"] or 0) + 1
        super().save_model(request, obj, form, change)

    def tell(
        self, request: HttpRequest, row: Any, before: Snapshot, after: Snapshot, *, reason: str, change: bool
    ) -> None:
        """Record the change with the set it belongs to, and who made it."""
        was, now = difference(before, after)
        if not was and not now:
            return
        journal.tell(
            f"{self.noun}.{self.changed}",
            user=request.user,
            organization_id=self.organization_id_of(request, row),
            subject=("rule_set", row.rule_set_id),
            reason=reason,
            before={f"rule {row.pk}": was} if change else {},
            after={f"rule {row.pk}": now},
        )
        RuleSet.objects.filter(pk=row.rule_set_id).update(edited_by=request.user)

    # Where a person goes next.

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return redirect("admin:workflows_ruleset_change", obj.rule_set_id)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return redirect("admin:workflows_ruleset_change", obj.rule_set_id)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Another one goes into the same set."""
        answer = super().response_add(request, obj, post_url_continue)
        if "_addanother" in request.POST:
            return redirect(f"{reverse('admin:workflows_rule_add')}?rule_set={obj.rule_set_id}")
        return answer
