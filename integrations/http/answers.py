"""What an answer means for the call: its document, when to come back, and whether it is a refusal."""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from integrations.errors import CallFailed
from integrations.models import Call
from opsdesk.lib import clock
from opsdesk.lib.wording import visible
from workflows.states import FailureKind

READS = frozenset({"GET", "HEAD"})
LONGEST_WAIT = timedelta(days=1)
# The other side is down rather than wrong: waiting helps, and helps all calls alike.
_DOWN = frozenset({502, 503, 504})
_NOT_LET_IN = frozenset({401, 403})
# “Not now”: the request, or an earlier one with the same key, may be under way.
_NOT_NOW = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, headers (any case), the JSON object of the body if it has one, and the log row."""

    status: int
    data: Mapping[str, Any] | None
    headers: Mapping[str, str]
    call: Call

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def failed(self, kind: FailureKind, message: str, *, effect_possible: bool) -> CallFailed:
        """The failure to raise instead of using this answer; its log row says so too."""
        self.call.outcome, self.call.message = kind, visible(message)[:300]
        self.call.told = retry_after(self.headers)
        return CallFailed(
            kind,
            self.call.message,
            effect_possible=effect_possible,
            retry_after=self.call.told,
            call=self.call,
        )

    def odd(self, message: str) -> CallFailed:
        """The failure for an answer that nobody can rely on: what was sent may well have been done."""
        return self.failed(FailureKind.TRANSIENT, message, effect_possible=self.call.method not in READS)

    def refusal(self, message: str) -> CallFailed:
        """The failure that a status other than 2xx stands for."""
        acts = self.call.method not in READS
        if self.status == 429:
            return self.failed(FailureKind.TRANSIENT, message, effect_possible=False)
        if self.status in _NOT_NOW:
            return self.failed(FailureKind.TRANSIENT, message, effect_possible=acts)
        if self.status in _NOT_LET_IN:
            return self.failed(FailureKind.INFRASTRUCTURE, message, effect_possible=False)
        if 400 <= self.status < 500:
            return self.failed(FailureKind.DATA, message, effect_possible=False)
        down = self.status in _DOWN or self.status < 400
        kind = FailureKind.INFRASTRUCTURE if down else FailureKind.TRANSIENT
        return self.failed(kind, message, effect_possible=acts)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the other side asks us to stay away: seconds or an HTTP date, at most a day; None when it does not."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return min(timedelta(seconds=float(text)), LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment - clock.now(), timedelta(0)), LONGEST_WAIT)
