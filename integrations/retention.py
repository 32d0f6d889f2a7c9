"""What is removed of the outside when a policy says so: the log of calls, and notices that are done with."""

from auditlog.retention.kinds import Kind, Span, add_kind
from integrations.models import Call, Notice
from integrations.states import NoticeState


def _calls(span: Span) -> int:
    rows = Call.objects.filter(connection__organization_id=span.organization_id, at__lt=span.before)
    free = rows.exclude(action__isnull=False, action__case_id__in=span.held).order_by("pk")
    return Call.objects.filter(pk__in=list(free.values_list("pk", flat=True)[: span.most])).delete()[0]


def _notices(span: Span) -> int:
    rows = Notice.objects.filter(organization_id=span.organization_id, created_at__lt=span.before)
    free = rows.exclude(state=NoticeState.DUE).exclude(case_id__in=span.held).order_by("pk")
    return Notice.objects.filter(pk__in=list(free.values_list("pk", flat=True)[: span.most])).delete()[0]


def register() -> None:
    """Let policies be about them."""
    add_kind(Kind("calls", "Log of calls to outside systems", 30, _calls))
    add_kind(Kind("notices", "Notices that were delivered or given up", 90, _notices))
