"""Requests: forms that workflows declare, filled in by members. Whoever asks does not vote on the case."""

import uuid

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib import clock
from opsdesk.lib.requests import OpsRequest
from workflows import cases
from workflows.engine import intake
from workflows.models import Event, Trigger
from workflows.states import EventState, VersionState
from workflows.triggers import fields, own_events, showing


@require_GET
@requires(Permission.ASK)
def index(request: OpsRequest) -> HttpResponse:
    """The forms of the organization."""
    return render(request, "workflows/request_list.html", {"forms": showing.forms_of(request.membership)})


@require_GET
@requires(Permission.ASK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One form, empty."""
    trigger = _present(request, pk)
    return _page(request, trigger, fields.form_of(trigger.config["fields"])(), token=uuid.uuid4())


@require_POST
@requires(Permission.ASK)
def send(request: OpsRequest, pk: int) -> HttpResponse:
    """Open a case with what was filled in; pressed twice, it opens one."""
    trigger = _present(request, pk)
    form = fields.form_of(trigger.config["fields"])(request.POST)
    token = _token_of(request)
    if not form.is_valid():
        return _page(request, trigger, form, token=token, status=422)
    data = {
        **fields.sent(form),
        "reference": f"F-{token.hex[:12].upper()}",
        "requested_by": str(request.user),
        "requested_at": clock.now().isoformat(),
    }
    problems = cases.content_from(trigger.version.fields, data, unnamed="form")["problems"]
    if problems:
        for text in problems:
            form.add_error(None, text)
        return _page(request, trigger, form, token=token, status=422)
    event, _ = own_events.tell(
        trigger.version.workflow,
        trigger=trigger.key,
        kind="form",
        key=f"{request.user.pk}:{token}",
        data=data,
        by=f"form {trigger.key}",
        requester_id=request.user.pk,
    )
    intake.take_one(event.pk)
    return _answer(request, event)


def _present(request: OpsRequest, pk: int) -> Trigger:
    """The form as it is in force now, also when the address is of an earlier version."""
    named = Trigger.objects.filter(
        pk=pk, kind=Trigger.Kind.FORM, version__workflow__organization_id=request.membership.organization_id
    ).first()
    present = Trigger.objects.filter(
        kind=Trigger.Kind.FORM,
        key=named.key if named else "",
        version__workflow=named.version.workflow_id if named else None,
        version__state=VersionState.PUBLISHED,
    )
    trigger = present.select_related("version__workflow__organization").first()
    if trigger is None:
        raise Http404
    return trigger


def _token_of(request: OpsRequest) -> uuid.UUID:
    """What makes two presses of the button one; a page without it gets a new one."""
    try:
        return uuid.UUID(request.POST.get("token", ""))
    except ValueError:
        return uuid.uuid4()


def _page(
    request: OpsRequest, trigger: Trigger, form: forms.Form, *, token: uuid.UUID, status: int = 200
) -> HttpResponse:
    context = {"trigger": trigger, "form": form, "token": token}
    return render(request, "workflows/request_form.html", context, status=status)


def _answer(request: OpsRequest, event: Event) -> HttpResponse:
    event.refresh_from_db()
    if event.state in (EventState.IGNORED, EventState.QUARANTINED):
        messages.error(request, f"No case was opened: {event.reason}")
        return redirect("workflows:requests")
    if event.case_id is None:
        messages.success(request, "Your request has arrived; its case opens in a moment.")
        return redirect("workflows:requests")
    messages.success(request, f"{event.case} is open. Others decide about it; you asked for it.")
    return redirect("approvals:case", event.case_id)
