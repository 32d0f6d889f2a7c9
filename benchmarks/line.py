"""Instant refunds through the whole line: web, workers, PostgreSQL and gateway on this machine."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import psutil

from benchmarks import place
from benchmarks.figures import Figure

RUNS, REFUNDS = 3, 400


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.refunds", *arguments]
    return subprocess.run(command, env=environment, check=True, cwd=place.ROOT, stdout=subprocess.PIPE, text=True).stdout


def _cpu_seconds(environment: dict[str, str]) -> float:
    """CPU that every process of the desk has used so far; they are the ones that share its folder."""
    total = 0.0
    for process in psutil.process_iter():
        try:
            if process.environ().get("OPSDESK_VAR") == environment["OPSDESK_VAR"] or "postgres" in process.name():
                times = process.cpu_times()
                total += times.user + times.system
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def instant_refunds() -> Iterator[Figure]:
    """Refunds verified a second, against the same gateway calls made one after another by a loop without a desk."""
    rates: list[float] = []
    loops: list[float] = []
    cpu: list[float] = []
    with place.desk("--without-replay") as environment:
        for run in range(RUNS):
            prefix = f"B{run}{uuid.uuid4().hex[:8]}"
            _manage(environment, "prepare", prefix, str(REFUNDS))
            loops.append(float(_manage(environment, "loop", prefix, "100")))
            time.sleep(2)
            before = _cpu_seconds(environment)
            rates.append(float(_manage(environment, "line", prefix, str(REFUNDS))))
            cpu.append((_cpu_seconds(environment) - before) * 1000 / REFUNDS)
    yield Figure("line.instant_refunds", "verified refunds/s", rates, loops)
    yield Figure("line.cpu_ms_per_refund", "ms", cpu)
