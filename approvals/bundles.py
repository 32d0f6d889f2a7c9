"""The evidence of one case as data: what was asked, known, decided, by whom, and what came of it outside."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction

from accounts.models import User
from approvals.models import Comment, Question, Review
from auditlog import bundles, seals
from auditlog.models import Change, Entry
from auditlog.services import Actor, record
from integrations.models import Action, Payment, Refund
from opsdesk.lib import clock
from workflows.models import Authorization, Case, Correction, Decision, Run

Row = dict[str, Any]
REASON = "The evidence of the case was taken out of the desk."
# Left out: how work is carried, not what was decided or done.
_CARRIED = frozenset({"lease_until", "lease_owner", "epoch", "due_at", "wake_at", "token_hash"})


@transaction.atomic
def take_out(case: Case, *, by: User, form: str) -> bundles.Bundle:
    """The bundle of a case, and an entry that says who took it, as a file or a page, and which one (its digest)."""
    bundle = bundle_of(case, by=by)
    record(
        "approvals.evidence.taken_out",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        reason=REASON,
        after={"form": form, "digest": bundle["digest"]},
    )
    return bundle


def bundle_of(case: Case, *, by: User) -> bundles.Bundle:
    """Everything about a case, its rows as they are now, each entry with the proof that it stands in the sealed log."""
    entries = list(Entry.objects.filter(organization_id=case.organization_id, case_id=case.pk).order_by("pk"))
    runs = Run.objects.filter(case=case).select_related("version__workflow").order_by("pk")
    decisions = Decision.objects.filter(case=case).select_related("rule_set").order_by("pk")
    payments = (
        Payment.objects.filter(organization_id=case.organization_id, reference=case.target) if case.target else []
    )
    content = {
        "about": {"case": str(case), "organization": case.organization.slug, "taken": clock.now(), "by": by.username},
        "case": _row(case),
        "corrections": _rows(Correction.objects.filter(case=case)),
        "runs": [{**_row(run), "workflow": f"{run.version.workflow.slug} v{run.version.number}"} for run in runs],
        "steps": [_row(step) for run in runs for step in run.steps.order_by("pk")],
        "decisions": [_decided(decision, case) for decision in decisions],
        "reviews": [_reviewed(review) for review in Review.objects.filter(case=case).order_by("pk")],
        "questions": _rows(Question.objects.filter(case=case).order_by("pk")),
        "comments": _rows(Comment.objects.filter(case=case).order_by("pk")),
        "authorizations": _rows(Authorization.objects.filter(case=case).order_by("pk")),
        "actions": [_acted(action) for action in Action.objects.filter(case=case).order_by("pk")],
        "payments": _rows(payments),
        "refunds": _rows(Refund.objects.filter(payment__in=payments).order_by("pk")),
        "entries": [{**_row(entry), "proof": seals.proof(entry)} for entry in entries],
        "seen_by_the_database": _rows(_seen(entries)),
    }
    return bundles.closed(_plain(content))


def _decided(decision: Decision, case: Case) -> Row:
    """A decision with the text over which its content is hashed, where the request is still the one it was about."""
    text = case.content_text(decision.facts)
    known = bundles.digest_of(text) == decision.content_hash
    return {**_row(decision), "rules": str(decision.rule_set or ""), "hashed": text if known else None}


def _reviewed(review: Review) -> Row:
    votes = review.votes.select_related("voter", "reason_code").order_by("pk")
    return {
        **_row(review),
        "votes": [{**_row(vote), "by": str(vote.voter), "said": str(vote.reason_code)} for vote in votes],
    }


def _acted(action: Action) -> Row:
    return {**_row(action), "calls": _rows(action.calls.order_by("pk"))}


def _seen(entries: Sequence[Entry]) -> list[Change]:
    """What the database saw changing in the transactions in which these entries were written."""
    found = [change for entry in entries if entry.transaction for change in Change.objects.behind(entry)]
    return list({change.pk: change for change in found}.values())


def _rows(rows: Iterable[models.Model]) -> list[Row]:
    return [_row(row) for row in rows]


def _row(row: models.Model) -> Row:
    """A row by the names of its columns, foreign keys without their “_id”."""
    fields = [field for field in row._meta.concrete_fields if field.name not in _CARRIED]
    return {field.name: getattr(row, field.attname) for field in fields}


def _plain(content: object) -> Any:
    """The same as JSON reads it back: moments and keys as texts."""
    return json.loads(json.dumps(content, cls=DjangoJSONEncoder))
