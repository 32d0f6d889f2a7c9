"""The thresholds of the organization: how much consent which amount needs, moved here, tried, and published by two."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event

from accounts import confirming
from accounts.access import requires
from accounts.roles import Permission
from approvals import drafting, trials
from approvals.bands import ASPECTS, Scope
from approvals.drafting import Limits
from approvals.models import Policy, Trial
from approvals.policies import POLICIES
from approvals.views.banding import Board
from approvals.views.sliding import LIMITS, Preview, asked_of, dashed
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.money import EXPONENTS, BadAmount, Money
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from workflows.models import Workflow
from workflows.states import DryRunState, Tier

WORST = 20


class MoveForm(forms.Form):
    """Two limits for some requests, typed as people write amounts, and why."""

    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(EXPONENTS)])
    reason = forms.CharField(required=False, max_length=60, label="Reason of the request")
    segment = forms.CharField(required=False, max_length=60, label="Customer segment")
    channel = forms.CharField(required=False, max_length=60, label="Channel")
    instant = forms.CharField(required=False, max_length=24, label="Instant up to")
    fast_track = forms.CharField(required=False, max_length=24, label="Fast-track up to")
    why = forms.CharField(max_length=500, label="Why")

    def clean(self) -> dict[str, Any]:
        """Turn the typed amounts into limits."""
        values = super().clean() or self.cleaned_data
        found: dict[str, int | None] = {}
        for name in ("instant", "fast_track"):
            typed = values.get(name, "").strip()
            try:
                found[name] = Money.parse(typed, values.get("currency")).minor if typed else None
            except BadAmount as refusal:
                self.add_error(name, str(refusal))
                continue
            if (found[name] or 0) < 0:
                self.add_error(name, "A limit is not below 0.")
        if not self.errors:
            values["limits"] = Limits(found["instant"], found["fast_track"])
        return values

    @property
    def scope(self) -> Scope:
        return tuple(self.cleaned_data[name].strip() for name in ASPECTS)


class WhyForm(forms.Form):
    """What is asked of whoever publishes, discards or goes back."""

    why = forms.CharField(max_length=500, label="Why")
    seen = forms.CharField(required=False, max_length=64)


def _workflows(request: OpsRequest) -> "QuerySet[Workflow]":
    rows = Workflow.objects.filter(organization_id=request.membership.organization_id, policies__isnull=False)
    return rows.select_related("organization").distinct().order_by("name", "pk")


def _policy(request: OpsRequest, pk: int) -> Policy:
    mine = Policy.objects.filter(workflow__organization_id=request.membership.organization_id)
    return get_object_or_404(mine.select_related("workflow__organization"), pk=pk)


@require_GET
@requires(Permission.CONFIGURE)
def index(request: OpsRequest) -> HttpResponse:
    """The bands of every group of requests, and the one that is chosen with its limits."""
    workflows = list(_workflows(request))
    return _page(request, _chosen(workflows, request.GET.get("workflow", "")), workflows)


def _chosen(workflows: list[Workflow], slug: str) -> Workflow | None:
    """The workflow that is named, or the first."""
    return next((each for each in workflows if each.slug == slug), workflows[0] if workflows else None)


def _page(
    request: OpsRequest,
    workflow: Workflow | None,
    workflows: list[Workflow],
    *,
    form: MoveForm | None = None,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    if workflow is None:
        context: dict[str, Any] = {"board": None, "refusal": refusal}
        return render_page(
            request, "approvals/thresholds_page.html", "approvals/thresholds_page.html", context, status=status
        )
    data = form.data if form is not None else request.GET
    board = _board(workflow, data, new="new" in request.GET)
    shown = _preview(board, {} if form is not None and form.errors else data)
    draft = board.draft
    context = {
        "board": board,
        "preview": shown,
        "controls": _controls(shown, form),
        "workflows": workflows,
        "form": form,
        "refusal": refusal,
        "problems": POLICIES.check(draft) if draft else [],
        "why_not": POLICIES.why_not(draft, request.user) if draft else "",
        "seen": trials.content_of(draft) if draft else "",
        **_found(board.trial),
    }
    page, fragment = "approvals/thresholds_page.html", "approvals/_thresholds.html"
    return render_page(request, page, fragment, context, status=status)


def _board(workflow: Workflow, data: Mapping[str, Any], *, new: bool = False) -> Board:
    """The bands, with those chosen that an address or a form names."""
    scope = tuple(str(data.get(name, "")).strip() for name in ASPECTS)
    return Board(workflow, str(data.get("currency", workflow.organization.currency)), scope, new=new)


def _preview(board: Board, data: Mapping[str, Any]) -> Preview | None:
    """The chosen bands with the limits that were typed or slid to; as they are where those are no limits."""
    if board.group is None:
        return None
    try:
        return Preview(board, asked_of(board, data))
    except BadAmount as refusal:
        return Preview(board, board.group.limits, problem=str(refusal))


def _controls(preview: Preview | None, form: MoveForm | None) -> list[dict[str, Any]]:
    """Both limits as text: what was typed with what is wrong with it, or where they stand."""
    found = []
    for place, (name, label) in enumerate(LIMITS.items()):
        stands = preview.controls[place].typed if preview is not None else ""
        typed = stands if form is None else form[name].value() or ""
        errors = [str(each) for each in form.errors.get(name, ())] if form is not None else []
        found.append({"name": name, "dashed": dashed(name), "label": label, "typed": typed, "errors": errors})
    return found


@require_GET
@requires(Permission.CONFIGURE)
def preview(request: OpsRequest) -> HttpResponse:
    """What a limit would do while it is moved; nothing is kept."""
    workflow = _chosen(list(_workflows(request)), request.GET.get("workflow", ""))
    if workflow is None or not wants_fragment(request):
        return redirect("approvals:thresholds")
    board = _board(workflow, request.GET)
    found = _preview(board, request.GET)
    if found is None:
        raise Http404("There are no bands for such requests.")
    context = {"board": board, "preview": found, "moved": request.htmx.trigger or ""}
    response = render_page(request, "approvals/thresholds_page.html", "approvals/_threshold_slid.html", context)
    return trigger_client_event(response, "announce", {"text": found.problem or found.sums})


def _found(trial: Trial | None) -> dict[str, Any]:
    """What a trial found, for the card beside the bands and for its own page."""
    if trial is None:
        return {"trial": None}
    flips = trial.flips.filter(after=Tier.INSTANT).select_related("case")
    return {
        "trial": trial,
        "live": trial.state == DryRunState.RUNNING,
        "stale": trials.content_of(trial.policy) != trial.content,
        "milder": trial.counted(stricter=False),
        "stricter": trial.counted(stricter=True),
        "money": [(Money(more, code), Money(less, code)) for code, (more, less) in sorted(trial.money.items())],
        "wrong": [(count, Money(minor, code)) for code, (count, minor) in sorted(trial.excess.items())],
        "hours": None if trial.seconds_saved is None else f"{trial.seconds_saved / 3600:.1f}",
        "minutes": None if trial.vote_seconds is None else f"{trial.vote_seconds / 60:.1f}",
        "worst": list(flips.order_by("-excess_minor", "-amount_minor", "pk")[:WORST]),
    }


@require_GET
@requires(Permission.CONFIGURE)
def trial(request: OpsRequest, pk: int) -> HttpResponse:
    """One look back: how far it is, its sums, and every case that would have gone another way."""
    mine = Trial.objects.visible_to(request.membership).select_related("policy__workflow", "by")
    found = get_object_or_404(mine, pk=pk)
    context = {**_found(found), "page": newest_first(found.flips.select_related("case"), request, key="case_id")}
    return render_page(request, "approvals/trial_page.html", "approvals/_trial.html", context)


@require_GET
@requires(Permission.CONFIGURE)
def sums(request: OpsRequest, pk: int) -> HttpResponse:
    """The sums of a look back, asked again and again while it is under way."""
    found = get_object_or_404(Trial.objects.visible_to(request.membership).select_related("policy"), pk=pk)
    if not wants_fragment(request):
        return redirect("approvals:trial", pk)
    return render_page(request, "approvals/trial_page.html", "approvals/_trial_sums.html", _found(found))


@require_POST
@requires(Permission.CONFIGURE)
def move(request: OpsRequest) -> HttpResponse:
    """Write other limits into the draft, or take the bands for some requests out of it."""
    workflow = _chosen(list(_workflows(request)), request.POST.get("workflow", ""))
    if workflow is None:
        return _page(request, None, [], refusal="There are no thresholds yet.", status=409)
    form = MoveForm(request.POST)
    refusal = "What was typed cannot be kept: see below." if not form.is_valid() else ""
    if not refusal:
        asked = {"currency": form.cleaned_data["currency"], "scope": form.scope}
        told = {"by": request.user, "reason": form.cleaned_data["why"]}
        try:
            if "drop" in request.POST:
                drafting.drop_group(workflow, **asked, **told)
            else:
                drafting.move_limits(workflow, **asked, limits=form.cleaned_data["limits"], **told)
        except DomainError as refused:
            refusal = str(refused)
    if refusal:
        return _page(request, workflow, list(_workflows(request)), form=form, refusal=refusal, status=422)
    messages.success(request, "Saved in the draft. Nothing is decided by it yet.")
    board = Board(workflow, form.cleaned_data["currency"], form.scope)
    return redirect(board.address(form.scope))


@require_POST
@requires(Permission.CONFIGURE)
def try_out(request: OpsRequest, pk: int) -> HttpResponse:
    """Have the draft tried on past cases."""
    policy = _policy(request, pk)
    return _done(request, policy, lambda: trials.ask(policy, by=request.user), "It is tried on past cases now.")


@require_POST
@requires(Permission.CONFIGURE)
def publish(request: OpsRequest, pk: int) -> HttpResponse:
    """Put the draft in force as this page showed it."""
    policy, seen = _policy(request, pk), request.POST.get("seen", "")
    asked = confirming.before_policy(request, what=f"put {policy} in force")
    if asked is not None:
        return asked
    return _done(
        request,
        policy,
        lambda: POLICIES.publish(
            policy, by=request.user, reason=_why(request), is_as_seen=lambda fresh: trials.content_of(fresh) == seen
        ),
        f"{policy} is in force for new cases. Open reviews keep what they were opened with, or what is stricter.",
    )


@require_POST
@requires(Permission.CONFIGURE)
def discard(request: OpsRequest, pk: int) -> HttpResponse:
    """Throw the draft away."""
    policy = _policy(request, pk)
    return _done(
        request, policy, lambda: POLICIES.discard(policy, by=request.user, reason=_why(request)), "The draft is gone."
    )


@require_POST
@requires(Permission.CONFIGURE)
def revert(request: OpsRequest, pk: int) -> HttpResponse:
    """Make a draft of thresholds that were in force before."""
    policy = _policy(request, pk)
    return _done(
        request,
        policy,
        lambda: drafting.go_back_to(policy, by=request.user, reason=_why(request)),
        f"A draft with what {policy} said. It is published as any draft is.",
    )


def _why(request: OpsRequest) -> str:
    form = WhyForm(request.POST)
    if not form.is_valid():
        raise _NoReason
    return str(form.cleaned_data["why"])


class _NoReason(DomainError):
    message = "Say why: the audit log keeps it."


def _done(request: OpsRequest, policy: Policy, act: Any, said: str) -> HttpResponse:
    """Do one thing with an edition, and show the page; a refusal in place."""
    try:
        act()
    except DomainError as refused:
        return _page(request, policy.workflow, list(_workflows(request)), refusal=str(refused), status=409)
    messages.success(request, said)
    return redirect(f"{reverse('approvals:thresholds')}?workflow={policy.workflow.slug}")
