"""Where the desk holds something of a person: each column that may name the one a case is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models

GONE = "erased"


def unless_empty(column: str) -> models.Case:
    """Empty where it was, as some states demand of it."""
    return models.Case(models.When(**{column: ""}, then=models.Value("")), default=models.Value(GONE))


@dataclass(frozen=True, slots=True)
class Place:
    """Rows of one table that belong to cases, found by `path` to the case's key.

    `cleared`: columns that people or systems outside fill in freely, with what stands there afterwards. `scrubbed`:
    texts and JSON of the desk's own, in which the person's own words are replaced and the rest stays. `guards`: the
    triggers that otherwise keep the row as it is.
    """

    label: str
    path: str
    cleared: Mapping[str, Any] = field(default_factory=dict)
    scrubbed: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()


PLACES = (
    Place("workflows.Event", "case_id", {"body": b"", "reason": unless_empty("reason")}),
    Place("workflows.Correction", "case_id", {"before": {}, "after": {}, "reason": GONE}),
    Place("workflows.Run", "case_id", {"facts": {}, "kept": {}}, ("reason", "paused_why", "concurrency_key")),
    Place("workflows.StepRun", "run__case_id", scrubbed=("note",)),
    Place("workflows.FailureItem", "run__case_id", scrubbed=("detail",)),
    Place("workflows.Replay", "run__case_id", scrubbed=("value",)),
    Place(
        "workflows.Decision",
        "case_id",
        scrubbed=("facts", "trace", "sentence"),
        guards=("workflows.Decision:never_changed",),
    ),
    Place("workflows.OtherDecision", "case_id", scrubbed=("words",)),
    Place(
        "approvals.Question",
        "case_id",
        {"text": GONE, **{name: unless_empty(name) for name in ("answer", "answered_by")}},
    ),
    Place("approvals.Comment", "case_id", {"text": GONE}, guards=("approvals.Comment:never_changed",)),
    Place("approvals.Vote", "review__case_id", {"text": ""}, guards=("approvals.Vote:only_withdrawn_later",)),
    Place("approvals.SecondOpinion", "review__case_id", {"text": ""}),
    Place("approvals.Flip", "case_id", scrubbed=("words",)),
    Place("approvals.Review", "case_id", scrubbed=("blocked_reason",)),
    Place("approvals.Setback", "review__case_id", scrubbed=("problem",)),
    Place("integrations.Notice", "case_id", {"subject": GONE, "body": GONE}),
    Place(
        "integrations.Action",
        "case_id",
        {"fields": {}},
        ("message",),
        guards=("integrations.Action:intent_never_changed",),
    ),
    Place("integrations.Call", "action__case_id", scrubbed=("path", "message")),
    Place("integrations.Break", "case_id", scrubbed=("words",)),
    Place(
        "integrations.Reversal",
        "case_id",
        scrubbed=("reason", "outcome"),
        guards=("integrations.Reversal:names_its_original_for_good",),
    ),
)
# Of the case itself: sums, payment, kind and moments stay.
OF_THE_CASE = {"party_name": "", "requested_by": "", "reason": "", "data": {}, "problems": [], "standing": ""}
# Other rows that name the customer, by the column with their number: copies of what systems outside hold, and holds.
MIRRORS = {
    "auditlog.LegalHold": "party",
    "integrations.Customer": "reference",
    "integrations.Order": "customer",
    "integrations.Payment": "customer",
    "integrations.Refund": "customer",
}
