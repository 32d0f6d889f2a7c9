"""Runs: the list, and one run with its timeline."""

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from workflows import timeline
from workflows.bulk.registry import kinds_for
from workflows.filters import RunFilter
from workflows.forms import ReasonForm
from workflows.models import Run, StepRun
from workflows.standing import standing_of, standings_of
from workflows.states import RUN_FINAL
from workflows.views.buttons import buttons_of

# Runs that one run began: a start step begins one, so only a version with very many steps comes near.
MOST_BEGUN = 50


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """All runs, newest first."""
    runs = Run.objects.visible_to(request.membership).select_related("case", "workflow", "version")
    chosen = RunFilter(request.GET, queryset=runs.defer("facts", "case__data"), request=request)
    page = newest_first(chosen.qs.select_related("organization").with_recovery(), request)
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "filter": chosen,
        "page": page,
        "rows": list(zip(page.rows, standings_of(page.rows), strict=True)),
        "filtered": _narrowed(chosen),
        "query": query.urlencode(),
        "kinds": kinds_for("runs") if request.membership.may(Permission.REPAIR) else [],
    }
    return render_page(request, "workflows/run_list.html", "workflows/_run_rows.html", context)


def _narrowed(chosen: RunFilter) -> bool:
    return any(chosen.data.get(name) for name in chosen.filters)


def _begun_by(run: Run, steps: list[StepRun], member: Membership) -> list[Run]:
    """The runs that its steps began; only asked for where there was such a step."""
    if all(step.kind != "start" for step in steps):
        return []
    begun = _family(member).filter(parent=run).defer("facts", "case__data")
    return list(begun.order_by("pk")[:MOST_BEGUN])


def _family(member: Membership) -> QuerySet[Run]:
    return Run.objects.visible_to(member).select_related("case", "workflow")


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One run: its stages, why it waits, what was decided, and what was sent."""
    return show_run(request, pk)


def show_run(
    request: OpsRequest,
    pk: int,
    *,
    form: ReasonForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of one run, with a form that was refused or a control that did not fit."""
    runs = Run.objects.visible_to(request.membership).select_related("case", "workflow", "version", "organization")
    run = get_object_or_404(runs.with_recovery(), pk=pk)
    steps = list(run.steps.all())
    # Actions live on the floor above; the relation is all that is known of them here.
    actions = list(run.actions.select_related("connection").prefetch_related("calls").order_by("pk"))
    stages = timeline.stages_of(run, steps, actions, clock.now())
    # The part that refreshes itself holds no form.
    shows_controls = request.membership.may(Permission.REPAIR) and not wants_fragment(request)
    context = {
        "run": run,
        "steps": steps,
        "actions": actions,
        "parent": _family(request.membership).filter(pk=run.parent_id).first() if run.parent_id else None,
        "begun": _begun_by(run, steps, request.membership),
        "decision": run.decisions.order_by("-pk").defer("facts", "trace").first(),
        "timeline": timeline.draw(stages),
        "standing": standing_of(run),
        "live": run.state not in RUN_FINAL,
        "form": form or ReasonForm(),
        "refusal": refusal,
        "controls": buttons_of(run) if shows_controls else None,
        "failure": run.failure_items.filter(repaired_at=None).select_related("failure__owner").first(),
    }
    return render_page(request, "workflows/run_detail.html", "workflows/_run_facts.html", context, status=status)
