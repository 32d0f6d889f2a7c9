"""Which tables are tracked: each change of their rows leaves a row in `auditlog_change`, whoever makes it and however.

Every model of the desk stands in one of the two lists below, or `manage.py check` fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import models

OURS = ("accounts", "auditlog", "workflows", "integrations", "approvals", "opsdesk")


@dataclass(frozen=True, slots=True)
class Tracked:
    """One tracked table: how its row's organization is found, and what of the row is not copied.

    `organization` is a path in the words of a filter, or an SQL expression over the row `r` where it begins with "(".
    `withheld` are secrets and what may name a person: only that they changed is kept. Changes of nothing but
    `passing` columns leave no row: they say when something was looked at, not what is true.
    """

    label: str
    organization: str = "organization"
    withheld: Sequence[str] = ()
    passing: Sequence[str] = ()

    @property
    def model(self) -> Any:
        """Its model."""
        return apps.get_model(self.label)


_OF_USER = "(SELECT min(m.organization_id) FROM accounts_membership m WHERE m.user_id = r.{} AND m.ended_at IS NULL)"
_OF_PERSON = (
    "(SELECT min(m.organization_id) FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id"
    " WHERE u.person_id = r.id AND m.ended_at IS NULL)"
)

TRACKED: tuple[Tracked, ...] = (
    # People and what they may.
    Tracked("accounts.Organization", "(r.id)"),
    Tracked("accounts.Person", _OF_PERSON, withheld=["name", "email"]),
    Tracked(
        "accounts.User",
        _OF_USER.format("id"),
        withheld=["password", "username", "first_name", "last_name", "email"],
        passing=["last_login"],
    ),
    Tracked("accounts.User_groups", _OF_USER.format("user_id")),
    Tracked("accounts.User_user_permissions", _OF_USER.format("user_id")),
    Tracked("accounts.Membership"),
    Tracked(
        "accounts.ApiToken",
        "membership__organization",
        withheld=["digest"],
        passing=["last_used_at", "minute", "calls"],
    ),
    Tracked("accounts.Identity", _OF_USER.format("user_id"), withheld=["subject"]),
    Tracked("accounts.GroupRole"),
    Tracked("accounts.Team"),
    Tracked("accounts.Team_members", "team__organization"),
    Tracked("accounts.BusinessCalendar"),
    Tracked("accounts.DailyBreak", "calendar__organization"),
    Tracked("accounts.Proposal", withheld=["title", "form", "before", "after", "reason"]),
    Tracked("approvals.Absence"),
    Tracked("approvals.Skill"),
    # What is to happen, and who is asked.
    Tracked("workflows.Workflow"),
    Tracked("workflows.WorkflowVersion", "workflow__organization"),
    Tracked("workflows.Step", "version__workflow__organization"),
    Tracked("workflows.Trigger", "version__workflow__organization"),
    Tracked("workflows.RuleSet", "workflow__organization"),
    Tracked("workflows.Rule", "rule_set__workflow__organization"),
    Tracked("approvals.Policy", "workflow__organization"),
    Tracked("approvals.Threshold", "policy__workflow__organization"),
    Tracked("approvals.RunningLimit"),
    Tracked("approvals.Ceiling"),
    Tracked("approvals.TierSettings"),
    Tracked("approvals.Stage", "tier__organization"),
    Tracked("approvals.Stage_more_teams", "stage__tier__organization"),
    Tracked("approvals.Rung", "tier__organization"),
    Tracked("approvals.ReasonCode"),
    # Systems outside and what may go there.
    Tracked("integrations.Connection", withheld=["secret"]),
    Tracked("integrations.Endpoint", withheld=["secret", "old_secret"], passing=["refused_at", "refused_skew"]),
    Tracked("integrations.OperationSwitch", "connection__organization"),
    Tracked("integrations.MaintenanceWindow", "connection__organization"),
    # Where people are told, and how they want it.
    Tracked("integrations.ChatChannel", withheld=["address"]),
    Tracked("integrations.NoticeSettings"),
    Tracked("integrations.NoticePolicy"),
    Tracked("auditlog.RetentionPolicy"),
    Tracked("auditlog.LegalHold", withheld=["party"]),
    Tracked("opsdesk.PersonErasure", withheld=["name"]),
    Tracked("workflows.Recovery"),
    Tracked("workflows.RecoverySignature", "recovery__organization"),
    # What was asked, decided and moved.
    Tracked(
        "workflows.Case",
        withheld=["party", "party_name", "requested_by", "reason", "data", "problems"],
        passing=["standing"],
    ),
    Tracked("workflows.Correction", "case__organization", withheld=["before", "after", "reason"]),
    Tracked("workflows.Decision", withheld=["facts", "trace", "sentence"]),
    Tracked("workflows.Authorization"),
    Tracked("approvals.Review", passing=["rung_due_at"]),
    Tracked("approvals.Vote", "review__organization", withheld=["text"]),
    Tracked("approvals.Question", withheld=["text", "answer", "answered_by", "token_hash"]),
    Tracked("approvals.Comment", withheld=["text"]),
    Tracked("approvals.SecondOpinion", withheld=["text"]),
    Tracked("integrations.Payment", withheld=["customer"], passing=["read_at", "reread_at", "told_refunded_minor"]),
    Tracked("integrations.Refund", withheld=["customer"]),
    Tracked(
        "integrations.Action",
        withheld=["fields", "message"],
        passing=["due_at", "lease_until", "epoch", "attempts"],
    ),
    Tracked("integrations.Break", withheld=["words"]),
    Tracked("integrations.Reversal", withheld=["reason", "outcome"]),
)

UNTRACKED: dict[str, str] = {
    "accounts.Session": "Who is signed in where; signing in and ending sessions are told in entries.",
    "auditlog.Entry": "It is the log: the database refuses to change or remove a row.",
    "auditlog.Change": "It is the log: the database refuses to change or remove a row.",
    "auditlog.Seal": "It is only added to, and its heads are handed outside.",
    "auditlog.ChangeSeal": "It is only added to, and the seals over entries name its heads.",
    "auditlog.Handing": "It is a history, only added to.",
    "auditlog.Removal": "It is a history, only added to; a tombstone in the log says the same.",
    "auditlog.Erasure": "It is a history, written by the database's own function.",
    "auditlog.Mark": "How far the sealer may go, set anew every few seconds.",
    "auditlog.Verification": "The progress of looks at the log and what they found.",
    "workflows.Event": "A queue of what arrived. Each is kept as it came with its hash; what it led to is an entry.",
    "workflows.Run": "Where work stands, changed several times a second: its history are its step runs and entries.",
    "workflows.StepRun": "It is a history: what each step came to, and when.",
    "workflows.Pulse": "When a trigger is looked at next; what it fires is an event.",
    "workflows.Sighting": "What a trigger last saw; what it fires is an event.",
    "workflows.Tide": "A mark that rises every few seconds, by which a restored database is known.",
    "workflows.Alert": "What the watchdog sees now; whoever acknowledges one is told in an entry.",
    "workflows.Bulk": "The progress of a bulk; each item that was carried out has its entry.",
    "workflows.BulkItem": "The progress of a bulk; each item that was carried out has its entry.",
    "workflows.DryRun": "A calculation over the past that changes nothing.",
    "workflows.OtherDecision": "A calculation over the past that changes nothing.",
    "workflows.Failure": "Runs that stopped, by cause; what people do about them is told in entries.",
    "workflows.FailureItem": "Runs that stopped, by cause; what people do about them is told in entries.",
    "workflows.Replay": "The progress of carrying runs on; each run that went on has its entry.",
    "approvals.TierEdition": "It is a history: what a tier said, kept with each change; the tier itself is tracked.",
    "approvals.Setback": "How often a timer broke; that it stands, and that it goes on, is told in entries.",
    "approvals.Claim": "A lease of two minutes; taking one over is told in an entry.",
    "approvals.Comment_mentioned": "Whom a comment tells: written with the comment, which never changes.",
    "approvals.Trial": "A calculation over the past that changes nothing.",
    "approvals.Flip": "A calculation over the past that changes nothing.",
    "integrations.Call": "It is a log: one row for each call that went out.",
    "integrations.Customer": "A copy of what the system outside holds, read again at any time.",
    "integrations.Order": "A copy of what the system outside holds, read again at any time.",
    "integrations.OrderLine": "A copy of what the system outside holds, read again at any time.",
    "integrations.Breaker": "Opens and closes by the calls of the last half minute; whoever forces one is told.",
    "integrations.Throttle": "Tokens of a bucket, changed with every call.",
    "integrations.Permit": "Leases of calls under way.",
    "integrations.Notice": "A queue of what is to be delivered.",
    "integrations.Reconciliation": "The progress of a comparison; what it finds is a break, which is tracked.",
    "opsdesk.Export": "The progress of a file; asking for it, taking and removing it are told in entries.",
    "opsdesk.ExportPart": "The lines of a file that somebody asked for, and that is removed after a day.",
    "opsdesk.ListLook": "Which columns one person wants to see; choosing them is told in an entry.",
    "opsdesk.SavedView": "Filters of a list under a name; saving, changing and deleting one is told in an entry.",
    "opsdesk.Heartbeat": "Beats every ten seconds.",
    "opsdesk.ReversalDrill": "What came of a try in the sandbox; it concerns no organization.",
    "opsdesk.DrillResult": "What came of a try in the sandbox; it concerns no organization.",
    "opsdesk.Backup": "What came of writing a backup and of putting it back on trial; it concerns no organization.",
    "opsdesk.Refusals": "Counts requests that found no room.",
}


def models_of_the_desk() -> Iterator[Any]:
    """Every table of the desk's own apps, those between two models too."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label in OURS and model._meta.managed and not model._meta.proxy:
            yield model


def tracked() -> list[Tracked]:
    """The tracked tables, in the order of the list."""
    return list(TRACKED)


def organization_of(each: Tracked) -> str:
    """SQL for the key of the organization to which the row `r` belongs, or NULL."""
    if each.organization.startswith("("):
        return each.organization
    return _along(each.model, each.organization.split("__"), "r", 0)


def _along(model: type[models.Model], path: Sequence[str], row: str, depth: int) -> str:
    field: Any = model._meta.get_field(path[0])
    if len(path) == 1:
        return f"{row}.{field.column}"
    other, alias = field.related_model, f"t{depth}"
    key = other._meta.pk.column
    further = _along(other, path[1:], alias, depth + 1)
    return f"(SELECT {further} FROM {other._meta.db_table} {alias} WHERE {alias}.{key} = {row}.{field.column})"  # noqa: S608


def check_every_table_is_declared(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An error for each model that is in neither list, or in both, and for a name in them that is no column."""
    known, found = {each.label for each in TRACKED}, list[CheckMessage]()
    labels = {model._meta.label for model in models_of_the_desk()}
    for label in sorted(labels - known - set(UNTRACKED)):
        hint = "Add it to TRACKED in auditlog/tracking.py, or to UNTRACKED with the reason."
        found.append(Error(f"Nobody said whether changes of {label} are tracked.", hint=hint, id="auditlog.E001"))
    for label in sorted((known & set(UNTRACKED)) | ((known | set(UNTRACKED)) - labels)):
        found.append(Error(f"{label} stands in both lists, or is no table of the desk.", id="auditlog.E002"))
    for each in (each for each in TRACKED if each.label in labels):
        columns = {field.column for field in each.model._meta.concrete_fields}
        for name in sorted({*each.withheld, *each.passing} - columns):
            found.append(Error(f"{each.label} has no column {name} to leave out.", id="auditlog.E003"))
    return found
