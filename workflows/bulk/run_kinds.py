"""The owner's controls as bulk operations on runs."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from accounts.models import User
from accounts.roles import Permission
from opsdesk.lib.requests import OpsRequest
from workflows import cases
from workflows.bulk.registry import Kind, Subject, add_kind
from workflows.bulk.services import NothingChosen
from workflows.engine import controls
from workflows.engine.definitions import definition_of
from workflows.engine.fitting import step_of, why_not
from workflows.filters import RunFilter
from workflows.forms import BulkForm, PrioritizeForm
from workflows.models import Bulk, Run
from workflows.states import CASE_FINAL, RunState

# What a request says about itself alone is corrected one by one.
_CORRECTED_TOGETHER = ("currency", "customer", "requested_at")


def _visible(request: OpsRequest) -> QuerySet[Run]:
    return Run.objects.visible_to(request.membership)


def _matching(request: OpsRequest, query: QueryDict) -> QuerySet[Run]:
    """The runs that the list shows with this query. A filter that cannot be read chooses nothing, never everything."""
    chosen = RunFilter(query, queryset=_visible(request), request=request)
    if not chosen.form.is_valid():
        raise NothingChosen("The filter cannot be read: choose again.")
    found: QuerySet[Run] = chosen.qs
    return found


def _chosen(request: OpsRequest, keys: list[int]) -> QuerySet[Run]:
    return _visible(request).filter(pk__in=keys)


def _load(keys: list[int]) -> Mapping[int, Run]:
    return Run.objects.select_related("case", "workflow").defer("facts", "case__data").in_bulk(keys)


def _words(run: Run) -> str:
    amount = f", {run.case.amount}" if run.case.amount else ""
    return f"{run.case}, {run.case.who}{amount}: {run.get_state_display().lower()}, step {step_of(run).key}"


RUNS = Subject(
    name="runs",
    matching=_matching,
    chosen=_chosen,
    load=_load,
    words=_words,
    label="RUN-{pk}",
    url_name="workflows:run",
    list_url_name="workflows:runs",
)


class BulkPriorityForm(BulkForm, PrioritizeForm):
    """How urgent all of them become."""


class BulkSkipForm(BulkForm):
    """Which step is left out: one at which some of the runs stand. Those that stand elsewhere refuse."""

    step = forms.ChoiceField()

    def __init__(self, *args: Any, bulk: Bulk, **kwargs: Any) -> None:
        super().__init__(*args, bulk=bulk, **kwargs)
        runs = Run.objects.filter(pk__in=bulk.items.values("subject_id"))
        places = runs.order_by().values_list("version_id", "position").distinct()
        steps = {
            definition.steps[position].key
            for version_id, position in places
            if position < len((definition := definition_of(version_id)).steps)
        }
        self.fields["step"].choices = [(step, step) for step in sorted(steps)]  # type: ignore[attr-defined]


class BulkCorrectForm(BulkForm):
    """One field, and its right value for all of them."""

    field = forms.ChoiceField(choices=[(name, name.replace("_", " ")) for name in _CORRECTED_TOGETHER])
    value = forms.CharField(max_length=200, label="Right value")


def _control(name: str, icon: str, words: str, done: str, form: type[BulkForm] = BulkForm) -> Kind:
    control: Callable[..., Run] = getattr(controls, name)

    def perform(run_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
        control(run_id, by=by, reason=reason, **parameters)
        return done.format(**parameters)

    return Kind(
        name=f"runs.{name}",
        subject=RUNS,
        label=name.capitalize(),
        icon=icon,
        words=words,
        permission=Permission.REPAIR,
        why_not=lambda run: why_not(name, run),
        perform=perform,
        form=form,
    )


def _correct(run_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    case_id = Run.objects.values_list("case_id", flat=True).get(pk=run_id)
    cases.correct(case_id, by=by, changes={parameters["field"]: parameters["value"]}, reason=reason)
    return f"Corrected {parameters['field']}; it is gathered and decided again."


def _why_not_correct(run: Run) -> str:
    idle = run.state != RunState.RUNNING and run.waits_for != "action" and run.case.state not in CASE_FINAL
    return "" if idle else "Its case can no longer be corrected."


def register() -> None:
    """Add the operations in the order in which they are offered."""
    add_kind(_control("pause", "pause", "No worker takes them until somebody resumes them.", "Paused."))
    add_kind(_control("resume", "play", "Paused runs go on where they stand.", "Goes on."))
    add_kind(_control("retry", "refresh-cw", "The step is tried again now.", "Tried again."))
    add_kind(
        _control("prioritize", "arrow-up-down", "Workers take them earlier or later than others.",
                 "Priority {priority}.", BulkPriorityForm)
    )  # fmt: skip
    add_kind(
        Kind(
            name="runs.correct",
            subject=RUNS,
            label="Correct the data",
            icon="pencil",
            words="The same field gets the same value in every case; all is gathered and decided again.",
            permission=Permission.CORRECT,
            why_not=_why_not_correct,
            perform=_correct,
            form=BulkCorrectForm,
        )
    )
    add_kind(
        _control("skip", "skip-forward", "The step is left out; a later decision says so and asks people.",
                 "Skipped {step}.", BulkSkipForm)
    )  # fmt: skip
    add_kind(_control("restart", "rotate-ccw", "They begin again with their first step.", "Begins again."))
    add_kind(_control("cancel", "circle-slash", "They end, and their cases are withdrawn.", "Canceled."))
