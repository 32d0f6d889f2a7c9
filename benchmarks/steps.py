"""The five-step workflow that is measured, with its step kind `note`: facts of the request itself, written down."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflows import facts as catalogue
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome

PACK = Path(__file__).with_name("packs") / "five.yaml"


def request_named(name: str, kind: str = "five.requested") -> bytes:
    """The body of an event that opens a case of the workflow."""
    now = datetime.now(UTC).isoformat()
    content = {
        "reference": name, "payment": f"pi_{name}", "customer": name, "amount": "4.95", "currency": "GBP",
        "reason": "returned", "requested_at": now,
    }  # fmt: skip
    return json.dumps({"type": kind, "timestamp": now, "data": content}).encode()


class Note:
    """Adds the facts of its settings to the run's, and says so in the log."""

    name = "note"
    asks_outside = False
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Names of declared facts, each with its value."""
        known = catalogue.catalogue()
        return [f"There is no fact “{name}”." for name in config if name not in known]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Asks nobody."""

    def perform(self, context: RunContext) -> Outcome:
        """Write the facts."""
        facts = {name: catalogue.known(value, "request", context.now) for name, value in context.step.config.items()}
        context.run.facts = {**context.run.facts, **facts}
        text = f"{len(facts)} facts noted."
        context.record("workflows.run.gathered", subject=context.run, after={"facts": sorted(facts)}, reason=text)
        return Done(text)
