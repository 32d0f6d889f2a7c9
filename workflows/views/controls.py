"""The buttons on a run's page: each asks why, does one thing, and comes back to the page."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows.engine import controls
from workflows.forms import PrioritizeForm, ReasonForm, SkipForm
from workflows.models import Run
from workflows.views.runs import show_run

View = Callable[[OpsRequest, int], HttpResponse]


def _view(control: Callable[..., Run], done: str, form_class: type[ReasonForm] = ReasonForm) -> View:
    """The view of one control; what its form asks for are the control's arguments."""

    @require_POST
    @requires(Permission.REPAIR)
    def use(request: OpsRequest, pk: int) -> HttpResponse:
        run = get_object_or_404(Run.objects.visible_to(request.membership), pk=pk)
        form = form_class(request.POST)
        if not form.is_valid():
            return show_run(request, pk, form=form, status=422)
        try:
            control(run.pk, by=request.user, **form.cleaned_data)
        except DomainError as refusal:
            return show_run(request, pk, form=form, refusal=refusal, status=409)
        messages.success(request, done.format(f"Run {run.pk}"))
        return redirect("workflows:run", run.pk)

    return use


pause = _view(controls.pause, "{} is paused.")
resume = _view(controls.resume, "{} goes on.")
retry = _view(controls.retry, "{} is tried again.")
skip = _view(controls.skip, "{} goes on without the step.", SkipForm)
restart = _view(controls.restart, "{} begins again.")
cancel = _view(controls.cancel, "{} is canceled, and its case withdrawn.")
prioritize = _view(controls.prioritize, "{} has another priority.", PrioritizeForm)
