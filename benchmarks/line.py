"""Instant refunds through the whole line: web, workers, PostgreSQL and gateway on this machine."""

import time
import uuid
from collections.abc import Iterator

from benchmarks import place
from benchmarks.figures import Figure

RUNS, REFUNDS = 3, 400


def instant_refunds() -> Iterator[Figure]:
    """Refunds verified a second, against the same gateway calls made one after another by a loop without a desk."""
    rates: list[float] = []
    loops: list[float] = []
    cpu: list[float] = []
    with place.desk("--without-replay") as environment:
        for run in range(RUNS):
            prefix = f"B{run}{uuid.uuid4().hex[:8]}"
            place.output_of(environment, "refunds", "prepare", prefix, str(REFUNDS))
            loops.append(float(place.output_of(environment, "refunds", "loop", prefix, "100")))
            time.sleep(2)
            before = place.cpu_seconds(int(environment["BENCH_PID"]))
            rates.append(float(place.output_of(environment, "refunds", "line", prefix, str(REFUNDS))))
            cpu.append((place.cpu_seconds(int(environment["BENCH_PID"])) - before) * 1000 / REFUNDS)
    yield Figure("line.instant_refunds", "verified refunds/s", rates, loops)
    yield Figure("line.cpu_ms_per_refund", "ms", cpu)
