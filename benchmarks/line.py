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
    return subprocess.run(
        command, env=environment, check=True, cwd=place.ROOT, stdout=subprocess.PIPE, text=True
    ).stdout


def _cpu_seconds(pid: int) -> float:
    """CPU that every process of the desk has used so far: web, workers, PostgreSQL, broker and gateway."""
    total = 0.0
    for process in psutil.Process(pid).children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
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
            before = _cpu_seconds(int(environment["BENCH_PID"]))
            rates.append(float(_manage(environment, "line", prefix, str(REFUNDS))))
            cpu.append((_cpu_seconds(int(environment["BENCH_PID"])) - before) * 1000 / REFUNDS)
    yield Figure("line.instant_refunds", "verified refunds/s", rates, loops)
    yield Figure("line.cpu_ms_per_refund", "ms", cpu)
