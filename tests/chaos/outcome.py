"""What must have come of every request, whatever went wrong on the way. Asked of the rows and of the gateway."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.whole_desk import WholeDesk

# Of each case its newest run, the review that is open, and whether somebody finds it among the failures.
_CASES = """
    SELECT c.id, c.state, c.standing, c.amount_minor, run.state, run.reason, review.assignee_id,
           EXISTS (SELECT FROM workflows_failureitem item WHERE item.run_id = run.id AND item.repaired_at IS NULL)
    FROM workflows_case c
    LEFT JOIN LATERAL (SELECT * FROM workflows_run r WHERE r.case_id = c.id ORDER BY r.id DESC LIMIT 1) run ON true
    LEFT JOIN LATERAL (
        SELECT * FROM approvals_review v WHERE v.run_id = run.id AND v.state = 'open' ORDER BY v.id DESC LIMIT 1
    ) review ON true
    ORDER BY c.id
"""


@dataclass(frozen=True, slots=True)
class CaseSeen:
    """One case as it came to rest."""

    pk: int
    state: str
    standing: str
    amount_minor: int | None
    run_state: str
    run_reason: str
    assignee_id: int | None
    among_failures: bool

    @property
    def end(self) -> str:
        """Where it came to rest; "astray" is what must not be."""
        if self.state in ("done", "rejected"):
            return self.state
        if self.state == "open" and self.run_state == "waiting" and self.assignee_id is not None:
            return "waits for a named person"
        if self.state == "failed" and self.among_failures and self.standing and self.run_reason:
            return "failed with a reason"
        return "astray"


def cases_of(desk: WholeDesk) -> list[CaseSeen]:
    """Every case of the desk."""
    return [CaseSeen(*row) for row in desk.rows(_CASES)]


def story_of(desk: WholeDesk, case_id: int) -> str:
    """What the log tells of a case, for the complaint about it."""
    entries = desk.rows("SELECT at, verb, reason, after FROM auditlog_entry WHERE case_id = %s ORDER BY id", case_id)
    return "\n".join(f"  {at:%H:%M:%S} {verb}: {reason} {after or ''}" for at, verb, reason, after in entries)


def assert_every_case_came_to_rest(desk: WholeDesk, *, requests: int) -> Counter[str]:
    """One case a request, and each of them done, rejected, waiting for a named person or failed with a reason."""
    cases = cases_of(desk)
    ends = Counter(case.end for case in cases)
    astray = [case for case in cases if case.end == "astray"]
    assert not astray, f"{len(astray)} cases went astray: {astray[:5]}\n{story_of(desk, astray[0].pk)}"
    assert len(cases) == requests, f"{requests} requests made {len(cases)} cases"
    shop_events = desk.number("SELECT count(*) FROM workflows_event WHERE source LIKE '%%/shop'")
    assert shop_events == requests, f"{requests} requests were stored as {shop_events} events"
    return ends


def assert_effects_fit(desk: WholeDesk) -> int:
    """One effect at the gateway a done case, none for a rejected or waiting one, none above what was captured."""
    effects = desk.gateway.effects()
    came_back = {effect["refund"] for effect in effects if effect["kind"] == "refund_failed"}
    ours = [effect for effect in effects if effect["kind"] == "refund" and effect["origin"] == "api"]
    by_case: dict[str, list[int]] = defaultdict(list)
    for effect in ours:
        if effect["refund"] not in came_back:
            by_case[effect["metadata"]["case"]].append(effect["amount"])
    wrong = []
    for case in cases_of(desk):
        amounts = by_case[f"CASE-{case.pk}"]
        right = {"done": amounts == [case.amount_minor], "failed": len(amounts) < 2}.get(case.state, not amounts)
        if not right:
            wrong.append(f"{case} has the effects {amounts}\n{story_of(desk, case.pk)}")
    keys = Counter(effect["idempotency_key"] for effect in ours)
    wrong += [f"the key {key} had {many} effects" for key, many in keys.items() if many > 1]
    assert not wrong, "\n".join(wrong[:10])
    _assert_payments_fit(desk, effects, {effect["payment"] for effect in ours})
    return len(ours)


def _assert_payments_fit(desk: WholeDesk, effects: Iterable[Mapping[str, Any]], touched: set[str]) -> None:
    """No payment gave back more than it captured, and the desk's copy says what the gateway's log says."""
    gone: Counter[str] = Counter()
    for effect in effects:
        gone[effect["payment"]] += effect["amount"] if effect["kind"] == "refund" else -effect["amount"]
    known = dict(desk.rows("SELECT reference, refunded_minor FROM integrations_payment"))
    for payment in touched:
        captured = desk.gateway.get(f"/v1/payment_intents/{payment}").json["amount_received"]
        assert gone[payment] <= captured, f"{gone[payment]} went back of {captured} captured by {payment}"
        assert gone[payment] == known[payment], f"{gone[payment]} went back over {payment}, known are {known[payment]}"


def assert_invariants_hold(desk: WholeDesk, folder: Path) -> None:
    """The desk's own check is green, with something to look at for each invariant."""
    words = ["manage.py", "check_invariants", "--gateway", desk.gateway.url]
    print(desk.run(*words, log=folder / "invariants.log"))
