"""Pages for definitions with drafts: a draft is edited and published, a published edition is read and copied."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.recorded import REASON, RecordedAdmin
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


class EditionAdmin(RecordedAdmin):
    """Drafts can be edited, published and thrown away; published and retired editions can be read and copied."""

    editions: ClassVar[Editions[Any]]
    # Makes a draft from an edition: (edition, *, by, reason).
    copy: ClassVar[Callable[..., Any]]

    added = "drafted"
    organization_path = "workflow__organization_id"
    given_once = ["workflow"]
    change_form_template = "admin/edition_change_form.html"
    list_display = ["__str__", "workflow_name", "state", "published_at", "published_by"]
    list_filter = ["state"]
    list_select_related = ["workflow__organization", "published_by"]

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

    def describe(self, edition: Any) -> list[str]:
        """The edition in lines, to be compared with the one it would replace."""
        raise NotImplementedError

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
            for errand in (PUBLISH, COPY, DISCARD)
        ]
        return [*own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Add the buttons that fit the edition's state."""
        edition = kwargs.get("obj")
        if edition is not None:
            context["errands"] = [
                {"title": errand.title, "url": self._url(errand.name, edition)} for errand in self._fitting(edition)
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    def _fitting(self, edition: Any) -> list[Errand]:
        return [PUBLISH, COPY, DISCARD] if edition.state == VersionState.DRAFT else [COPY]

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
            try:
                target = self._do(errand, edition, by=request.user, reason=form.cleaned_data[REASON])
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
            "problems": self.editions.check(edition) if errand is PUBLISH else [],
            "changes": self._changes(edition) if errand is PUBLISH else [],
            "former": self._former(edition),
        }
        return TemplateResponse(request, "admin/edition_errand.html", context)

    def _do(self, errand: Errand, edition: Any, **by_whom: Any) -> Any:
        if errand is DISCARD:
            self.editions.discard(edition, **by_whom)
            return None
        return type(self).copy(edition, **by_whom) if errand is COPY else self.editions.publish(edition, **by_whom)

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
