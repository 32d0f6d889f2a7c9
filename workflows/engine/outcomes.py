"""What a step can answer."""

from dataclasses import dataclass
from datetime import datetime

from workflows.states import CaseState, WaitsFor


@dataclass(frozen=True, slots=True)
class Done:
    """The step has done its work; the next one follows at once."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut(Done):
    """The engine's answer in place of a step whose condition does not hold: nothing was done, the next one follows."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody or something must answer first; without `until` only `resume` wakes the run.

    `on` names the connection and the operation that is held, where it is one, as connection/operation.
    """

    waits_for: WaitsFor
    reason: str
    until: datetime | None = None
    on: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """The case ends here, before the last step."""

    case_state: CaseState
    reason: str


Outcome = Done | Wait | Finish
