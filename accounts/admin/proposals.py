"""Changes that wait for another person: what would change, and the two buttons."""

import copy
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from accounts import proposals
from accounts.errors import NotAllowed
from accounts.models import Proposal
from accounts.recorded import ReadOnlyAdmin
from accounts.site import may_keep_audit
from accounts.states import ProposalState


@admin.register(Proposal)
class ProposalAdmin(ReadOnlyAdmin):
    """What one person proposed; another one puts it in force, or either throws it away."""

    list_display = ["title", "page_name", "proposed_by", "proposed_at", "state", "ended_by"]
    list_filter = ["state"]
    list_select_related = ["proposed_by", "ended_by"]

    @admin.display(description="page")
    def page_name(self, proposal: Proposal) -> str:
        """What kind of row would change."""
        return str(apps.get_model(proposal.page)._meta.verbose_name)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change some page; which proposals are shown, `visible_to` says."""
        return super().has_view_permission(request, obj) or may_keep_audit(request)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """What the member could put in force, and what they proposed themselves."""
        rows: Any = super().get_queryset(request)
        membership = getattr(request, "membership", None)
        seen: QuerySet[Any] = rows.visible_to(membership) if membership is not None else rows
        return seen

    def get_urls(self) -> list[URLPattern]:
        """The two buttons stand before Django's own catch-all."""
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/publish/", wrap(require_POST(self.put_in_force)), name="accounts_proposal_publish"),
            path("<int:pk>/discard/", wrap(require_POST(self.discard)), name="accounts_proposal_discard"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """What would change, line by line, and why."""
        proposal = self.get_object(request, object_id)
        if proposal is None or not self.has_view_permission(request, proposal):
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": proposal,
            "title": proposal.title,
            "kind": proposals.kind_of(proposal),
            "lines": _lines(proposal),
            "is_open": proposal.state == ProposalState.OPEN,
            "why_not": proposals.why_not(proposal, request.user),  # type: ignore[arg-type]
            "missing": proposals.who_is_missing(proposal),
        }
        return TemplateResponse(request, "admin/proposal.html", context)

    def put_in_force(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the proposed form once more, in the name of whoever agrees; all of it or nothing."""
        try:
            with transaction.atomic():
                proposal = self._locked(request, pk)
                refusal = proposals.why_not(proposal, request.user)  # type: ignore[arg-type]
                if refusal:
                    raise NotAllowed(refusal)
                _send_again(self.admin_site, request, proposal)
                # What is erased by it goes from the proposal too.
                proposal.refresh_from_db()
                proposals.end(proposal, ProposalState.IN_FORCE, by=request.user, reason=proposal.reason)  # type: ignore[arg-type]
        except NotAllowed as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, "It is in force.")
        return redirect("admin:accounts_proposal_change", pk)

    def discard(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Nothing changes."""
        with transaction.atomic():
            proposal = self._locked(request, pk)
            if proposal.state == ProposalState.OPEN:
                proposals.end(
                    proposal,
                    ProposalState.DISCARDED,
                    by=request.user,  # type: ignore[arg-type]
                    reason="Thrown away.",
                )
        return redirect("admin:accounts_proposal_changelist")

    def _locked(self, request: HttpRequest, pk: int) -> Proposal:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("proposed_by")
        proposal: Proposal | None = rows.select_for_update(of=("self",)).filter(pk=pk).first()
        if proposal is None:
            raise Http404
        return proposal


def _page_of(site: admin.AdminSite, page: str) -> Any:
    return site.get_model_admin(apps.get_model(page))


def _send_again(site: admin.AdminSite, request: HttpRequest, proposal: Proposal) -> None:
    """Have the page take the form. Raises NotAllowed where it refuses what it took before."""
    page = _page_of(site, proposal.page)
    # What was sent now is read to its end before the copy is made: it would be read again, and over the other, later.
    typed = request.POST.copy()
    typed.clear()
    again = copy.copy(request)
    for name, values in proposal.form.items():
        typed.setlist(name, values)
    again.POST = typed  # type: ignore[assignment]
    again.proposal = proposal  # type: ignore[attr-defined]
    row_id = None if proposal.row_id is None else str(proposal.row_id)
    try:
        answer: Any = page.changeform_view(again, row_id)
    except PermissionDenied as refusal:
        raise NotAllowed(
            "You may not change this row: it is about your own rights, or of people elsewhere."
        ) from refusal
    if answer.status_code == 302 and not proposal.is_taken:
        raise NotAllowed("What would change is no longer there: throw this away.")
    if answer.status_code != 302:
        raise NotAllowed(f"It no longer fits: {' '.join(map(str, answer.context_data['errors']))}")


def _lines(proposal: Proposal) -> list[tuple[str, str, str]]:
    """Every field that differs, as it was and as it would be; of rows within the row, field by field."""
    before, after = proposal.before, proposal.after
    found: list[tuple[str, object, object]] = []
    for name in [*before, *(name for name in after if name not in before)]:
        was, now = before.get(name), after.get(name)
        if isinstance(was, dict) or isinstance(now, dict):
            was, now = was or {}, now or {}
            parts = [*was, *(part for part in now if part not in was)]
            found += [(f"{name}, {part}", was.get(part), now.get(part)) for part in parts]
        else:
            found.append((name, was, now))
    return [(name.replace("_", " "), _said(was), _said(now)) for name, was, now in found]


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)
