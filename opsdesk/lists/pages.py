"""Every list page that can be saved as a view and exported."""

from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from accounts.models import Membership
from accounts.roles import Permission
from approvals.views import listing
from auditlog.filters import EntryFilter
from auditlog.models import Entry
from auditlog.scopes import scopes
from opsdesk.lib.money import Money
from opsdesk.lists.registry import Column, ListPage, Value, add_list, asked_by
from workflows.filters import CaseFilter, RunFilter
from workflows.models import Case, Run


def _reviews(member: Membership, query: QueryDict) -> QuerySet[Any]:
    return listing.Listing(member, query).matching.select_related("case", "assignee")


def _cases(member: Membership, query: QueryDict) -> QuerySet[Any]:
    cases = Case.objects.visible_to(member).defer("data")
    found: QuerySet[Any] = CaseFilter(query, queryset=cases, request=asked_by(member)).qs
    return found


def _runs(member: Membership, query: QueryDict) -> QuerySet[Any]:
    runs = Run.objects.visible_to(member).select_related("case", "workflow", "version").defer("facts", "case__data")
    found: QuerySet[Any] = RunFilter(query, queryset=runs, request=asked_by(member)).qs
    return found


def _entries(member: Membership, query: QueryDict) -> QuerySet[Any]:
    entries = Entry.objects.visible_to(member).newest()
    found: QuerySet[Any] = EntryFilter(query, queryset=entries, request=asked_by(member)).qs
    return found


def _decimal(amount: Money | None) -> Value:
    return amount.decimal if amount is not None else None


def _name(user: object) -> str:
    return str(user) if user is not None else ""


def _case_columns(path: str) -> list[Column]:
    """What every list says of its rows' cases; `path` leads from the row to the case, empty where it is the row."""

    def of(row: Any) -> Case:
        return getattr(row, path) if path else row  # type: ignore[no-any-return]

    return [
        Column("case", "Case", lambda row: f"CASE-{of(row).pk}"),
        Column("reference", "Reference", lambda row: of(row).key),
        Column("customer", "Customer number", lambda row: of(row).party),
        Column("name", "Customer", lambda row: of(row).party_name),
        Column("amount", "Amount", lambda row: _decimal(of(row).amount)),
        Column("currency", "Currency", lambda row: of(row).currency),
        Column("payment", "Payment", lambda row: of(row).target),
        Column("reason", "Reason given", lambda row: of(row).reason),
        Column("requested_by", "Requested by", lambda row: of(row).requested_by),
    ]


def _queue_list() -> ListPage:
    return ListPage(
        key="queue",
        label="Queue",
        url_name="approvals:queue",
        icon="inbox",
        permission=Permission.SEE_DESK,
        filters=("view", *listing.FILTERS),
        rows=_reviews,
        columns=[
            *_case_columns("case"),
            Column("tier", "Tier", lambda row: row.get_tier_display()),
            Column("assignee", "Who has it", lambda row: _name(row.assignee)),
            Column("due", "Due", lambda row: row.due_at),
            Column("opened", "Opened", lambda row: row.opened_at),
            Column("blocked", "Blocked because", lambda row: row.blocked_reason),
        ],
    )


def _cases_list() -> ListPage:
    return ListPage(
        key="cases",
        label="Cases",
        url_name="cases",
        icon="folder",
        permission=Permission.SEE_DESK,
        filters=tuple(CaseFilter.base_filters),
        rows=_cases,
        columns=[
            *_case_columns(""),
            Column("state", "State", lambda row: row.get_state_display()),
            Column("stands", "Stands", lambda row: row.standing),
            Column("opened", "Opened", lambda row: row.opened_at),
            Column("closed", "Closed", lambda row: row.closed_at),
        ],
    )


def _runs_list() -> ListPage:
    return ListPage(
        key="runs",
        label="Runs",
        url_name="workflows:runs",
        icon="activity",
        permission=Permission.SEE_DESK,
        filters=tuple(RunFilter.base_filters),
        rows=_runs,
        columns=[
            Column("run", "Run", lambda row: f"RUN-{row.pk}"),
            *_case_columns("case"),
            Column("workflow", "Workflow", lambda row: row.workflow.name),
            Column("version", "Version", lambda row: row.version.number),
            Column("state", "State", lambda row: row.get_state_display()),
            Column("why", "Why", lambda row: row.reason),
            Column("started", "Started", lambda row: row.started_at),
            Column("ended", "Ended", lambda row: row.ended_at),
        ],
    )


def _audit_list() -> ListPage:
    return ListPage(
        key="audit",
        label="Audit",
        url_name="auditlog:entries",
        icon="history",
        permission=Permission.READ_AUDIT,
        filters=(*EntryFilter.base_filters, *(scope.name for scope in scopes())),
        rows=_entries,
        columns=[
            Column("entry", "Entry", lambda row: row.pk),
            Column("at", "At", lambda row: row.at),
            Column("actor", "Who", lambda row: row.actor),
            Column("did", "Did", lambda row: row.words),
            Column("subject", "About", lambda row: f"{row.subject_kind} {row.subject_id}"),
            Column("case", "Case", lambda row: f"CASE-{row.case_id}" if row.case_id else ""),
            Column("reason", "Why", lambda row: row.reason),
        ],
    )


def register() -> None:
    """Have them known; for the start of the process."""
    for page in (_queue_list(), _cases_list(), _runs_list(), _audit_list()):
        add_list(page)
