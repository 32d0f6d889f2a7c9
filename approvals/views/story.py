"""What has happened to a case, in words: from the audit log, the corrections and the votes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from approvals.models import Comment, Question
from auditlog.models import ActorKind, Entry
from opsdesk.lib import clock
from opsdesk.lib.wording import visible
from workflows.cases import CORRECTABLE
from workflows.models import Correction

_TONES = {
    "integrations.action.verified": "ok",
    "integrations.action.unknown": "danger",
    "integrations.action.failed": "danger",
    "integrations.action.mismatched": "danger",
    "workflows.run.failed": "danger",
    "approvals.review.blocked": "warn",
    "approvals.review.escalated": "warn",
    "approvals.review.reminded": "warn",
    "workflows.case.corrected": "warn",
    "integrations.reversal.asked": "warn",
    "integrations.reversal.done": "ok",
    "integrations.reversal.failed": "danger",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the timeline."""

    at: datetime
    text: str
    by: str = ""
    more: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said about a case: a question, its answer, or a comment."""

    at: datetime
    who: str
    words: str
    text: str


def conversation(questions: Sequence[Question], comments: Iterable[Comment]) -> list[Said]:
    """What was asked and answered, the first first."""
    said = [
        Said(question.asked_at, str(question.asked_by), "asked the requester", question.text) for question in questions
    ]
    said += [
        Said(question.closed_at, question.answered_by, "answered", question.answer)
        for question in questions
        if question.closed_at is not None and question.answer
    ]
    said += [Said(comment.at, str(comment.author), "said", comment.text) for comment in comments]
    return sorted(said, key=lambda each: each.at)


def happenings(entries: Iterable[Entry], *, said_elsewhere: str) -> list[Happening]:
    """Audit entries as sentences; a reason that the page says already is not repeated."""
    found = []
    for entry in entries:
        person = entry.actor_kind == ActorKind.PERSON
        words = f"{entry.actor} {entry.words}" if person else entry.words[:1].upper() + entry.words[1:]
        more = "" if entry.reason.endswith(said_elsewhere) and said_elsewhere else visible(entry.reason)
        # Which step of a run did it is in the audit log; here only people, timers and the outside are named.
        by = entry.actor if entry.actor_kind in (ActorKind.TIMER, ActorKind.OUTSIDE) else ""
        found.append(Happening(entry.at, words, by, more, _TONES.get(entry.verb, "")))
    return found


def differences_in(entries: Iterable[Entry]) -> list[str]:
    """Where the sources differed when the facts were gathered last, in sentences."""
    for entry in entries:
        if entry.verb == "workflows.run.gathered":
            found = entry.after.get("differences")
            return [str(text) for text in found] if isinstance(found, list) else []
    return []


def dated(moments: Sequence[Happening]) -> bool:
    """Whether some of it happened on another day than today, so that dates need room."""
    today = timezone.localtime(clock.now()).date()
    return any(timezone.localtime(each.at).date() != today for each in moments)


def changes_in(correction: Correction) -> list[dict[str, Any]]:
    """The fields a correction changed, before and after."""
    return [
        {"field": name, "before": correction.before.get(name), "after": correction.after.get(name)}
        for name in CORRECTABLE
        if correction.before.get(name) != correction.after.get(name)
    ]
