"""The state machines of the engine. Read each table as “from this state you may go to any of these”."""

from collections.abc import Mapping

from django.db import models


class EventState(models.TextChoices):
    RECEIVED = "received", "Received"
    PROCESSED = "processed", "Processed"
    IGNORED = "ignored", "Ignored"
    QUARANTINED = "quarantined", "Quarantined"


EVENT_MOVES: Mapping[str, frozenset[str]] = {
    EventState.RECEIVED: frozenset({EventState.PROCESSED, EventState.IGNORED, EventState.QUARANTINED}),
    EventState.PROCESSED: frozenset(),
    EventState.IGNORED: frozenset(),
    EventState.QUARANTINED: frozenset(),
}


class CaseState(models.TextChoices):
    OPEN = "open", "Open"
    FAILED = "failed", "Needs repair"
    DONE = "done", "Done"
    REJECTED = "rejected", "Rejected"
    CANCELED = "canceled", "Withdrawn"


CASE_FINAL = frozenset({CaseState.DONE, CaseState.REJECTED, CaseState.CANCELED})
CASE_MOVES: Mapping[str, frozenset[str]] = {
    CaseState.OPEN: frozenset({CaseState.FAILED, CaseState.DONE, CaseState.REJECTED, CaseState.CANCELED}),
    CaseState.FAILED: frozenset({CaseState.OPEN, CaseState.CANCELED}),
    # The gateway may say days later that a refund did not arrive: the case comes back.
    CaseState.DONE: frozenset({CaseState.FAILED}),
    CaseState.REJECTED: frozenset(),
    CaseState.CANCELED: frozenset(),
}


class RunState(models.TextChoices):
    READY = "ready", "Ready"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"


RUN_FINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED})
RUN_ACTIVE = frozenset({RunState.READY, RunState.RUNNING, RunState.WAITING})
RUN_MOVES: Mapping[str, frozenset[str]] = {
    RunState.READY: frozenset({RunState.RUNNING, RunState.CANCELED, RunState.FAILED}),
    RunState.RUNNING: frozenset(
        {RunState.READY, RunState.WAITING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED}
    ),
    RunState.WAITING: frozenset({RunState.READY, RunState.RUNNING, RunState.FAILED, RunState.CANCELED}),
    RunState.SUCCEEDED: frozenset(),
    # A repaired run goes on; it is never begun a second time beside itself.
    RunState.FAILED: frozenset({RunState.READY, RunState.CANCELED}),
    RunState.CANCELED: frozenset(),
}


class WaitsFor(models.TextChoices):
    """What a waiting run waits for; never nothing."""

    REVIEW = "review", "a review"
    ACTION = "action", "an outside system"
    RETRY = "retry", "another try"
    CONNECTION = "connection", "a connection"
    TURN = "turn", "its turn"
    UPGRADE = "upgrade", "a newer worker"
    TIME = "time", "a time"
    FACT = "fact", "a fact"
    EVENT = "event", "an event"
    WORKFLOW = "workflow", "another workflow"


class VersionState(models.TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    RETIRED = "retired", "Retired"


VERSION_MOVES: Mapping[str, frozenset[str]] = {
    VersionState.DRAFT: frozenset({VersionState.PUBLISHED}),
    VersionState.PUBLISHED: frozenset({VersionState.RETIRED}),
    VersionState.RETIRED: frozenset(),
}


class BulkState(models.TextChoices):
    PREVIEW = "preview", "Not started"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    DONE = "done", "Finished"
    CANCELED = "canceled", "Canceled"


BULK_FINAL = frozenset({BulkState.DONE, BulkState.CANCELED})
BULK_MOVES: Mapping[str, frozenset[str]] = {
    BulkState.PREVIEW: frozenset({BulkState.RUNNING, BulkState.CANCELED}),
    BulkState.RUNNING: frozenset({BulkState.PAUSED, BulkState.DONE, BulkState.CANCELED}),
    BulkState.PAUSED: frozenset({BulkState.RUNNING, BulkState.CANCELED}),
    BulkState.DONE: frozenset(),
    BulkState.CANCELED: frozenset(),
}


class DryRunState(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Given up"


DRY_RUN_MOVES: Mapping[str, frozenset[str]] = {
    DryRunState.RUNNING: frozenset({DryRunState.DONE, DryRunState.FAILED}),
    DryRunState.DONE: frozenset(),
    DryRunState.FAILED: frozenset(),
}


class FailureState(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Being repaired"
    RESOLVED = "resolved", "Resolved"


FAILURE_MOVES: Mapping[str, frozenset[str]] = {
    FailureState.OPEN: frozenset({FailureState.ACKNOWLEDGED, FailureState.RESOLVED}),
    FailureState.ACKNOWLEDGED: frozenset({FailureState.OPEN, FailureState.RESOLVED}),
    FailureState.RESOLVED: frozenset({FailureState.OPEN}),
}


class ReplayState(models.TextChoices):
    RUNNING = "running", "Under way"
    DONE = "done", "Went well"
    STOPPED = "stopped", "Stopped"


REPLAY_MOVES: Mapping[str, frozenset[str]] = {
    ReplayState.RUNNING: frozenset({ReplayState.DONE, ReplayState.STOPPED}),
    ReplayState.DONE: frozenset(),
    ReplayState.STOPPED: frozenset(),
}


class FailureKind(models.TextChoices):
    TRANSIENT = "transient", "gave up after several tries"
    DATA = "data", "the data needs a person"
    INFRASTRUCTURE = "infrastructure", "a system is down"
    DEFECT = "defect", "an error in the desk itself"


class Match(models.TextChoices):
    """How several conditions are put together."""

    ALL = "all", "all conditions hold"
    ANY = "any", "any condition holds"


class RecoveryState(models.TextChoices):
    RECOVERING = "recovering", "Recovering: nothing is sent"
    ENDED = "ended", "Ended"


# No recovery under way is the normal mode; each one is a row of its own and never comes back.
RECOVERY_MOVES: Mapping[str, frozenset[str]] = {
    RecoveryState.RECOVERING: frozenset({RecoveryState.ENDED}),
    RecoveryState.ENDED: frozenset(),
}


class RecoveryCause(models.TextChoices):
    DECLARED = "declared", "declared by a person"
    TIDE = "tide", "the database is older than its mark outside"
    CLUSTER = "cluster", "the database runs on another timeline or server"
    UNMARKED = "unmarked", "nothing outside the database knows its mark"


class Tier(models.TextChoices):
    """How much consent is needed, from least to most."""

    INSTANT = "instant", "instant"
    FAST_TRACK = "fast_track", "fast-track"
    FULL_REVIEW = "full_review", "full review"

    @property
    def rank(self) -> int:
        """0 for the least consent; the larger the stricter."""
        return list(Tier).index(self)

    @classmethod
    def strictest(cls, tiers: "list[Tier]") -> "Tier":
        """The one that asks for most; nothing at all asks for a full review."""
        return max(tiers, key=lambda tier: tier.rank, default=cls.FULL_REVIEW)
