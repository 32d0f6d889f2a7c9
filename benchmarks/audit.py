"""The audit log: how many entries a second writers commit while it is sealed, and how long a million take to verify."""

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import place
from benchmarks.figures import LEAST_RUNS, Figure


def _measured(environment: dict[str, str], *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.entries", *arguments]
    done = subprocess.run(command, env=environment, check=True, cwd=place.ROOT, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def entries() -> Iterator[Figure]:
    """Entries committed a second by 8 writers, sealing on; beside it the same with sealing off. Any break ends it."""
    sealed: list[float] = []
    plain: list[float] = []
    with place.desk("--without-demo", "--without-workers") as environment:
        for _ in range(LEAST_RUNS):
            plain.append(_measured(environment, "write", "0")["rate"])
            sealed.append(_measured(environment, "write", "1")["rate"])
    yield Figure("audit.entries", "entries/s", sealed, plain)


def verifying() -> Iterator[Figure]:
    """Seconds in which a million entries below their seals are verified."""
    with place.desk("--without-demo", "--without-workers") as environment:
        _measured(environment, "fill", "1000000")
        seconds = [_measured(environment, "verify")["seconds"] for _ in range(LEAST_RUNS)]
    yield Figure("audit.verify_1m_s", "s", seconds)
