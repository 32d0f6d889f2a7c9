"""What is done about a failure by its page: who has it, replaying its runs, ignoring and resolving it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows import failures, replaying
from workflows.forms import HandOverForm, IgnoreForm, ReasonForm, ReplayForm
from workflows.models import Failure
from workflows.views.failures import colleagues, may_correct, show_page


@require_POST
@requires(Permission.REPAIR)
def acknowledge(request: OpsRequest, pk: int) -> HttpResponse:
    """Take a failure on."""
    failure = _visible(request, pk)
    try:
        failures.acknowledge(failure.pk, by=request.user)
    except DomainError as refusal:
        return show_page(request, pk=pk, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is yours.")
    return redirect("workflows:failure", pk)


@require_POST
@requires(Permission.REPAIR)
def hand_over(request: OpsRequest, pk: int) -> HttpResponse:
    """Give a failure to a colleague."""
    failure = _visible(request, pk)
    form = HandOverForm(request.POST, people=colleagues(failure), auto_id="hand-over-%s")
    if not form.is_valid():
        return show_page(request, pk=pk, forms={"hand_over_form": form}, status=422)
    to = form.cleaned_data["to"].user
    try:
        failures.hand_over(failure.pk, to=to, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return show_page(request, pk=pk, forms={"hand_over_form": form}, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is with {to} now.")
    return redirect("workflows:failure", pk)


@require_POST
@requires(Permission.REPAIR)
def resolve(request: OpsRequest, pk: int) -> HttpResponse:
    """Close a failure that stops nothing any more."""
    failure = _visible(request, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return show_page(request, pk=pk, forms={"reason_form": form}, status=422)
    try:
        failures.resolve(failure.pk, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return show_page(request, pk=pk, forms={"reason_form": form}, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is resolved.")
    return redirect("workflows:failures")


@require_POST
@requires(Permission.REPAIR)
def ignore(request: OpsRequest, pk: int) -> HttpResponse:
    """Hear nothing of a failure for a while."""
    failure = _visible(request, pk)
    form = IgnoreForm(request.POST, auto_id="ignore-%s")
    if not form.is_valid():
        return show_page(request, pk=pk, forms={"ignore_form": form}, status=422)
    until = clock.now() + form.length
    try:
        failures.ignore(failure.pk, by=request.user, until=until, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return show_page(request, pk=pk, forms={"ignore_form": form}, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is ignored for {form.words}.")
    return redirect("workflows:failures")


@require_POST
@requires(Permission.REPAIR)
def heed(request: OpsRequest, pk: int) -> HttpResponse:
    """Ignore a failure no longer."""
    failure = _visible(request, pk)
    try:
        failures.heed(failure.pk, by=request.user)
    except DomainError as refusal:
        return show_page(request, pk=pk, refusal=refusal, status=409)
    return redirect("workflows:failure", pk)


@require_POST
@requires(Permission.REPAIR)
def replay(request: OpsRequest, pk: int) -> HttpResponse:
    """Try as many runs again as the button said, one after the other."""
    failure = _visible(request, pk)
    form = ReplayForm(request.POST, auto_id="replay-%s", may_correct=may_correct(request))
    if not form.is_valid():
        return show_page(request, pk=pk, forms={"replay_form": form}, status=422)
    try:
        replaying.begin(failure.pk, form.cleaned_data.pop("count"), by=request.user, **form.cleaned_data)
    except DomainError as refusal:
        return show_page(request, pk=pk, forms={"replay_form": form}, refusal=refusal, status=409)
    return redirect("workflows:failure", pk)


@require_POST
@requires(Permission.REPAIR)
def stop(request: OpsRequest, pk: int) -> HttpResponse:
    """Try no further run."""
    failure = _visible(request, pk)
    if not replaying.stop(failure.pk, by=request.user):
        messages.info(request, "No run was being tried any more.")
    return redirect("workflows:failure", pk)


def _visible(request: OpsRequest, pk: int) -> Failure:
    return get_object_or_404(Failure.objects.visible_to(request.membership), pk=pk)
