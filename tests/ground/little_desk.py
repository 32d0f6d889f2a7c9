"""A desk of three small services, to watch the supervisor at work: `python -m tests.ground.little_desk VAR WHAT`."""

import sys
from pathlib import Path

from opsdesk.embedded import preflight
from opsdesk.embedded.addresses import places
from opsdesk.embedded.processes import CannotStart, Runs, Service
from opsdesk.embedded.supervisor import Stage, Supervisor

STAY = "import time; print('here', flush=True); time.sleep(60)"
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAY!r}]); {STAY}"
POLITE = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye'))); {STAY}"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAY}"
LONG_LINE = f"print('x' * 300_000, flush=True); print('after it', flush=True); {STAY}"


def service(name: str, code: str, runs: Runs = Runs.ALWAYS, *, stop_seconds: float = 10) -> Service:
    """A service that runs a line of Python."""
    return Service(name, (sys.executable, "-c", code), runs=runs, stop_seconds=stop_seconds)


DESKS = {
    "plain": [[service("first", STAY)], [service("second", WITH_CHILD), service("third", STAY)]],
    "polite": [[service("first", POLITE)], [service("second", POLITE)], [service("third", POLITE)]],
    "deaf": [[service("first", STAY)], [service("deaf", DEAF, stop_seconds=1)]],
    "patient": [[service("deaf", DEAF, stop_seconds=60)]],
    "done": [[service("task", "print('worked')", Runs.ONCE)], [service("replay", "pass", Runs.UNTIL_DONE)]],
    "unlucky": [[service("first", STAY)], [service("task", "raise SystemExit('no luck')", Runs.ONCE)]],
    "talkative": [[service("loud", LONG_LINE)]],
}


def main(var: Path, what: str) -> None:
    """Clear what an earlier one left, then run the desk."""
    try:
        with preflight.sole_holder(var):
            for name in preflight.clear_leftovers(places(var)):
                sys.stdout.write(f"cleared {name}\n")
            *first, last = [Stage(tuple(services)) for services in DESKS[what]]
            Supervisor(var).run([*first, Stage(last.services, then=lambda: print("all up", flush=True))])  # noqa: T201
    except CannotStart as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
