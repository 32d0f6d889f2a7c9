"""The earlier editions of a tier in the admin: what each said, and the way back to it."""

from difflib import ndiff
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.recorded import REASON, RecordedAdmin
from approvals import tier_editions
from approvals.models import TierEdition, TierSettings
from opsdesk.lib.errors import DomainError
from workflows.admin.editions import Errand
from workflows.admin.forms import ReasonForm

GO_BACK = Errand(
    "revert", "Revert to this", "Put it in force again",
    "A new edition with just this content, in force at once. Reviews that are open keep what they were opened with, or "
    "get what is stricter.",
    "{} is in force.",
)  # fmt: skip


class WithEditions(RecordedAdmin):
    """Keeps what a tier said with every change, lists it, and goes back to it."""

    change_form_template = "admin/edition_change_form.html"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Before the first change that is kept, keep what there was."""
        if change:
            stored = TierSettings.objects.select_for_update(of=("self",)).get(pk=obj.pk)
            tier_editions.keep(stored, by=None, reason="As it was before.")
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep what the tier says from now on."""
        super().save_related(request, form, formsets, change)
        stored = TierSettings.objects.get(pk=form.instance.pk)
        tier_editions.keep(stored, by=request.user, reason=form.cleaned_data[REASON])  # type: ignore[arg-type]

    def get_urls(self) -> list[URLPattern]:
        """The list of editions, and with `?to=` the way back to one, before Django's own catch-all."""
        wrap, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("<int:pk>/earlier/", wrap(self.earlier), name=f"{name}_earlier"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Add the button to the earlier editions."""
        tier = kwargs.get("obj")
        if tier is not None:
            context["errands"] = [{"title": "Earlier versions", "url": self._url("earlier", tier.pk)}]
        return super().render_change_form(request, context, *args, **kwargs)

    def _url(self, name: str, *key: int) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=key)

    def _tier(self, request: HttpRequest, pk: int) -> TierSettings:
        tier: TierSettings | None = self.get_object(request, str(pk))
        if tier is None or not self.has_change_permission(request, tier):
            raise Http404
        return tier

    def earlier(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Every edition that was kept, the newest first; or one of them, to go back to."""
        tier = self._tier(request, pk)
        if "to" in request.GET:
            return self._go_back(request, tier, request.GET["to"])
        in_force = tier_editions.content_of(tier)
        rows = [
            {
                "edition": edition,
                "in_force": edition.content == in_force,
                "url": f"?to={edition.number}",
            }
            for edition in tier.editions.select_related("tier", "made_by").order_by("-number")[:100]
        ]
        context = {"rows": rows, "title": f"Earlier versions: {tier}"}
        return TemplateResponse(request, "admin/tier_editions.html", {**self._context(request, tier), **context})

    def _go_back(self, request: HttpRequest, tier: TierSettings, number: str) -> HttpResponse:
        """Say what would change and ask why; a POST with a reason does it."""
        known = number.isascii() and number.isdigit() and len(number) < 9
        edition = TierEdition.objects.select_related("tier").filter(tier=tier, number=number).first() if known else None
        if edition is None:
            raise Http404
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made = tier_editions.revert(edition.pk, by=request.user, reason=form.cleaned_data[REASON])  # type: ignore[arg-type]
            except DomainError as refusal:
                form.add_error(None, str(refusal))
            else:
                messages.success(request, GO_BACK.done.format(made))
                return redirect(self._url("change", tier.pk))
        context = {
            "title": f"{GO_BACK.title}: {edition}",
            "errand": GO_BACK,
            "form": form,
            "problems": tier_editions.problems_of(edition),
            "changes": _changes(tier, edition),
        }
        return TemplateResponse(request, "admin/edition_errand.html", {**self._context(request, tier), **context})

    def _context(self, request: HttpRequest, tier: TierSettings) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts, "original": tier}


def _changes(tier: TierSettings, edition: TierEdition) -> list[tuple[str, str]]:
    """What going back would add and remove, line by line: (word, line)."""
    now = tier_editions.in_lines(tier_editions.content_of(tier), tier.organization_id)
    then = tier_editions.in_lines(edition.content, tier.organization_id)
    words = {"+": "added", "-": "removed"}
    return [(words[line[0]], line[2:]) for line in ndiff(now, then) if line[0] in words]
