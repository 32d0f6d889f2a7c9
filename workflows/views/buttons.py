"""What the card of controls on a run's page shows: the buttons that fit, and why the others do not."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from workflows.engine.controls import PRIORITIES
from workflows.engine.fitting import all_why_not, step_of
from workflows.models import Run


@dataclass(frozen=True, slots=True)
class Button:
    """One control of a run: what it is called, what it does in words, and why it does not fit (empty: it fits)."""

    name: str
    label: str
    icon: str
    words: str
    url: str
    refused: str


_BUTTONS = (
    ("resume", "Resume", "play", "It goes on where it stands."),
    ("retry", "Retry", "refresh-cw", "The step is tried again now."),
    ("pause", "Pause", "pause", "No worker takes it until somebody resumes it."),
    ("skip", "Skip “{step}”", "skip-forward", "The step is left out; a later decision says so and asks people."),
    ("restart", "Restart", "rotate-ccw", "It begins again with its first step; consent is asked anew."),
    ("cancel", "Cancel", "circle-slash", "The run ends, and its case is withdrawn without effect."),
)


def buttons_of(run: Run) -> dict[str, Any]:
    """What the card of controls needs: the buttons that fit, those that do not and why, the step, the priorities."""
    step, refused = step_of(run).key, all_why_not(run)
    buttons = [
        Button(name, label.format(step=step), icon, words, _url(name, run), refused[name])
        for name, label, icon, words in _BUTTONS
    ]
    return {
        "fitting": [button for button in buttons if not button.refused],
        "unfit": [button for button in buttons if button.refused],
        "step": step,
        "priorities": [] if refused["prioritize"] else list(PRIORITIES.items()),
        "prioritize_url": _url("prioritize", run),
    }


def _url(name: str, run: Run) -> str:
    return reverse(f"workflows:{name}", args=[run.pk])
