"""Pages for definitions with drafts: a draft is edited and published, a published edition is read and copied."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts import confirming
from accounts.recorded import REASON, RecordedAdmin
from accounts.snapshots import Snapshot
from opsdesk.lib.errors import DomainError
from workflows.admin.forms import ReasonForm
from workflows.editions import Editions
from workflows.models import Workflow
from workflows.states import VersionState


@dataclass(frozen=True)
class Errand:
    """What a button on the page of an edition does, after asking why."""

    name: str
    title: str
    button: str
    words: str
    done: str


PUBLISH = Errand(
    "publish", "Publish", "Publish", "From then on it decides about cases; it is frozen, and the one before retires.",
    "{} is published.",
)  # fmt: skip
COPY = Errand(
    "copy", "New draft from this", "Make the draft", "A copy that can be edited and published.", "{} is a new draft."
)
DISCARD = Errand(
    "discard", "Throw away", "Throw the draft away", "Nothing ever ran on a draft; it is deleted.", "{} is gone."
)
RETIRE = Errand(
    "retire", "Retire", "Take it out of force", "Nothing takes its place until another edition is published.",
    "{} is retired.",
)  # fmt: skip
REVERT = Errand(
    "revert", "Revert to this", "Make the draft",
    "A draft with just this content. It is published as any draft is: it must still fit today's facts and connections, "
    "and where four eyes are asked, they are asked for the way back too.",
    "{} is a new draft with the earlier content.",
)  # fmt: skip
ERRANDS = (PUBLISH, COPY, DISCARD, RETIRE, REVERT)
_FITTING = {
    VersionState.DRAFT: [PUBLISH, COPY, DISCARD],
    VersionState.PUBLISHED: [COPY, RETIRE],
    VersionState.RETIRED: [REVERT],
}


class EditionAdmin(RecordedAdmin):
    """Drafts can be edited, published and thrown away; published and retired editions can be read and copied."""

    editions: ClassVar[Editions[Any]]
    # Makes a draft from an edition: (edition, *, by, reason).
    copy: ClassVar[Callable[..., Any]]
    # What differs between two editions, in sentences: (before, after).
    compare: ClassVar[Callable[[Any, Any], list[str]] | None] = None
    # What else an edit leaves on the row beside who made it.
    edited_also: ClassVar[Mapping[str, Any]] = {}
    # What follows when nothing is in force.
    retired_words: ClassVar[str] = ""

    added = "drafted"
    organization_path = "workflow__organization_id"
    given_once = ["workflow"]
    change_form_template = "admin/edition_change_form.html"
    list_display = ["__str__", "workflow_name", "state", "published_at", "published_by", "edited_by"]
    list_filter = ["state"]
    list_select_related = ["workflow__organization", "published_by", "edited_by"]
    readonly_fields = ["edited"]

    @staticmethod
    def workflow_name(edition: Any) -> str:
        """The workflow's name, for lists."""
        return str(edition.workflow)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("workflow__organization")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only drafts are edited."""
        return super().has_change_permission(request, obj) and (obj is None or obj.state == VersionState.DRAFT)

    def check_still_editable(self, stored: Any) -> None:
        """Refuse when somebody published the draft while it was being edited."""
        if stored.state != VersionState.DRAFT:
            raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A new draft gets the next number, under the lock under which drafts are numbered."""
        if not change:
            Workflow.objects.select_for_update(of=("self",)).get(pk=obj.workflow_id)
            numbers = type(obj)._default_manager.filter(workflow_id=obj.workflow_id)
            obj.number = int(numbers.aggregate(last=Max("number"))["last"] or 0) + 1
        super().save_model(request, obj, form, change)

    @admin.display(description="changed last by")
    def edited(self, edition: Any) -> str:
        """Who changed it last, and so does not publish it where four eyes are asked."""
        return str(edition.edited_by or "the desk")

    def tell(
        self, request: HttpRequest, row: Any, before: Snapshot, after: Snapshot, *, reason: str, change: bool
    ) -> None:
        """Record the change, and who made it."""
        super().tell(request, row, before, after, reason=reason, change=change)
        if before != after:
            type(row)._default_manager.filter(pk=row.pk).update(edited_by=request.user, **self.edited_also)

    def describe(self, edition: Any) -> list[str]:
        """The edition in lines, to be compared with the one it would replace."""
        raise NotImplementedError

    def trial(self, edition: Any) -> Any:
        """The last dry run of the edition as it is now, where such are made."""
        return None

    # Buttons.

    def get_urls(self) -> list[URLPattern]:
        """The pages behind the buttons stand before Django's own catch-all."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<int:pk>/{errand.name}/",
                self.admin_site.admin_view(self._page(errand)),
                name=f"{name}_{errand.name}",
            )
            for errand in ERRANDS
        ]
        if type(self).compare is not None:
            own.append(path("<int:pk>/compare/", self.admin_site.admin_view(self.comparison), name=f"{name}_compare"))
        return [*own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Add the buttons that fit the edition's state."""
        edition = kwargs.get("obj")
        if edition is not None:
            context["errands"] = [
                {"title": errand.title, "url": self._url(errand.name, edition)} for errand in self._fitting(edition)
            ]
            if type(self).compare is not None:
                context["errands"].append({"title": "Compare", "url": self._url("compare", edition)})
        return super().render_change_form(request, context, *args, **kwargs)

    def _fitting(self, edition: Any) -> list[Errand]:
        return _FITTING[VersionState(edition.state)]

    def _url(self, name: str, *edition: Any) -> str:
        args = [each.pk for each in edition]
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=args)

    def _page(self, errand: Errand) -> Callable[..., HttpResponse]:
        def page(request: HttpRequest, pk: int) -> HttpResponse:
            return self._ask_and_do(request, errand, pk)

        return page

    def _ask_and_do(self, request: HttpRequest, errand: Errand, pk: int) -> HttpResponse:
        """Say what would happen and ask why; a POST with a reason does it."""
        edition = self.get_object(request, str(pk))
        if edition is None or not self.has_view_permission(request, edition) or errand not in self._fitting(edition):
            raise Http404
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            asked = confirming.before_policy(request, what=f"put {edition} in force") if errand is PUBLISH else None
            if asked is not None:
                return asked
            try:
                target = self._do(errand, edition, request, reason=form.cleaned_data[REASON])
            except DomainError as refusal:
                form.add_error(None, str(refusal))
            else:
                messages.success(request, errand.done.format(target or edition))
                return redirect(self._url("change", target) if target is not None else self._url("changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": edition,
            "title": f"{errand.title}: {edition}",
            "errand": errand,
            "form": form,
            "problems": self._problems(edition, request.user) if errand is PUBLISH else [],
            "changes": self._changes(edition) if errand is PUBLISH else [],
            "told": self._told(self._former(edition), edition) if errand is PUBLISH else [],
            "former": self._former(edition),
            "follows": self.retired_words if errand is RETIRE else "",
            "seen": self._digest(edition) if errand is PUBLISH else "",
            "trial": self.trial(edition) if errand is PUBLISH else None,
        }
        return TemplateResponse(request, "admin/edition_errand.html", context)

    def _problems(self, edition: Any, user: Any) -> list[str]:
        refusal = self.editions.why_not(edition, user)
        return [*([refusal] if refusal else []), *self.editions.check(edition)]

    def _told(self, before: Any, after: Any) -> list[str]:
        compare = type(self).compare
        return compare(before, after) if compare is not None and before is not None else []

    def comparison(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The edition beside another of the same workflow, in words; the one before it unless another is chosen."""
        edition: Any = self.get_object(request, str(pk))
        if edition is None or not self.has_view_permission(request, edition):
            raise Http404
        others = list(self.get_queryset(request).filter(workflow_id=edition.workflow_id).exclude(pk=pk)[:100])
        chosen = request.GET.get("with", "")
        earlier = next((each for each in others if each.number < edition.number), None)
        other = next((each for each in others if str(each.pk) == chosen), earlier)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": edition,
            "title": f"Compare {edition}",
            "others": others,
            "other": other,
            "told": self._told(other, edition),
        }
        return TemplateResponse(request, "admin/edition_compare.html", context)

    def _do(self, errand: Errand, edition: Any, request: HttpRequest, *, reason: str) -> Any:
        by_whom: dict[str, Any] = {"by": request.user, "reason": reason}
        if errand is DISCARD:
            self.editions.discard(edition, **by_whom)
            return None
        if errand is RETIRE:
            return self.editions.retire(edition, **by_whom)
        if errand is PUBLISH:
            seen = request.POST.get("seen", "")
            return self.editions.publish(edition, **by_whom, is_as_seen=lambda fresh: self._digest(fresh) == seen)
        return type(self).copy(edition, **by_whom)

    def _digest(self, edition: Any) -> str:
        """Hash of what the page showed, so that nobody publishes what was changed behind their back."""
        return hashlib.sha256("\n".join(self.describe(edition)).encode()).hexdigest()

    def _former(self, edition: Any) -> Any:
        """The edition that publishing this one would retire."""
        rows = type(edition)._default_manager.filter(workflow_id=edition.workflow_id, state=VersionState.PUBLISHED)
        return rows.select_related("workflow").first()

    def _changes(self, edition: Any) -> list[tuple[str, str]]:
        """What publishing would add and remove, line by line: (word, line)."""
        former = self._former(edition)
        before = list(self.describe(former)) if former is not None else []
        words = {"+": "added", "-": "removed"}
        lines = ndiff(before, list(self.describe(edition)))
        return [(words[line[0]], line[2:]) for line in lines if line[0] in words]
