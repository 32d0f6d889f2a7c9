"""The owner's controls as bulk operations on runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import QueryDict

from accounts.models import User
from accounts.roles import Permission
from opsdesk.lib.requests import OpsRequest
from workflows import cases, comparing
from workflows.bulk.registry import Kind, Subject, add_kind
from workflows.bulk.services import NothingChosen
from workflows.engine import controls, moving
from workflows.engine.definitions import definition_of
from workflows.engine.fitting import Effects, Looked, step_of, why_not
from workflows.filters import RunFilter
from workflows.forms import BulkForm, PrioritizeForm
from workflows.models import Bulk, Run, WorkflowVersion
from workflows.states import CASE_FINAL, RunState, VersionState

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


@dataclass(frozen=True, slots=True)
class Row:
    """A run as previews look at it, and the version of its workflow that is in force."""

    looked: Looked
    in_force: WorkflowVersion | None

    @property
    def run(self) -> Run:
        """The run itself."""
        return self.looked.run


def _load(keys: list[int]) -> Mapping[int, Row]:
    runs = (
        Run.objects.select_related("case", "workflow", "version__workflow").defer("facts", "case__data").in_bulk(keys)
    )
    effects = Effects({run.case_id for run in runs.values()})
    in_force = {version.workflow_id: version for version in _in_force(keys)}
    return {key: Row(Looked(run, effects), in_force.get(run.workflow_id)) for key, run in runs.items()}


def _in_force(keys: "list[int] | QuerySet[Any]") -> QuerySet[WorkflowVersion]:
    """The published versions of the workflows that these runs follow."""
    followed = Run.objects.filter(pk__in=keys).order_by().values("workflow")
    published = WorkflowVersion.objects.filter(state=VersionState.PUBLISHED, workflow__in=followed)
    return published.select_related("workflow").order_by("workflow")


def _words(row: Row) -> str:
    run = row.run
    amount = f", {run.case.amount}" if run.case.amount else ""
    return f"{run.case}, {run.case.who}{amount}: {run.get_state_display().lower()}, step {step_of(run).key}"


RUNS = Subject(
    name="runs",
    matching=_matching,
    chosen=_chosen,
    load=_load,
    of_cases=lambda cases: Run.objects.filter(case__in=cases).values_list("pk", flat=True),
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


class BulkMoveForm(BulkForm):
    """Which version they follow from now on: one in force of a workflow that some of them follow."""

    version = forms.TypedChoiceField(coerce=int)

    def __init__(self, *args: Any, bulk: Bulk, **kwargs: Any) -> None:
        super().__init__(*args, bulk=bulk, **kwargs)
        found = _in_force(bulk.items.values("subject_id"))
        self.fields["version"].choices = [(version.pk, str(version)) for version in found]  # type: ignore[attr-defined]


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
        why_not=lambda row: why_not(name, row.looked),
        perform=perform,
        form=form,
    )


def _correct(run_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    case_id = Run.objects.values_list("case_id", flat=True).get(pk=run_id)
    cases.correct(case_id, by=by, changes={parameters["field"]: parameters["value"]}, reason=reason)
    return f"Corrected {parameters['field']}; it is gathered and decided again."


def _why_not_correct(row: Row) -> str:
    run = row.run
    idle = run.state != RunState.RUNNING and not run.acts and run.case.state not in CASE_FINAL
    return "" if idle else "Its case can no longer be corrected."


def _move(run_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    kept = moving.move(run_id, version=parameters["version"], by=by, reason=reason)
    return "Moved; it keeps its place." if kept else "Moved; it begins again with the first step."


def _would_move(row: Row) -> str:
    if row.in_force is not None and moving.keeps_place(row.run, row.in_force):
        return f"Keeps its place: all is the same up to the step {step_of(row.run).key}."
    return "Begins again with the first step; consent is asked anew."


def _what_differs(bulk: Bulk) -> list[str]:
    """How each version that is left differs from the one in force."""
    followed = Run.objects.filter(pk__in=bulk.items.values("subject_id")).order_by()
    beside = Q(state=VersionState.PUBLISHED, workflow__in=followed.values("workflow"))
    versions = WorkflowVersion.objects.filter(beside | Q(pk__in=followed.values("version")))
    found = list(versions.select_related("workflow").order_by("workflow", "number"))
    in_force = {version.workflow_id: version for version in found if version.state == VersionState.PUBLISHED}
    return [
        f"From {version} to {target}: {difference}"
        for version in found
        if (target := in_force.get(version.workflow_id)) is not None and target.pk != version.pk
        for difference in comparing.versions(version, target)
    ]


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
    add_kind(
        Kind(
            name="runs.move",
            subject=RUNS,
            label="Move to the version in force",
            icon="git-branch",
            words="They follow the newest published version of their workflow.",
            permission=Permission.REPAIR,
            why_not=lambda row: moving.why_not(row.looked, row.in_force),
            perform=_move,
            form=BulkMoveForm,
            would=_would_move,
            notes=_what_differs,
        )
    )
    add_kind(_control("restart", "rotate-ccw", "They begin again with their first step.", "Begins again."))
    add_kind(_control("cancel", "circle-slash", "They end, and their cases are withdrawn.", "Canceled."))
