"""The audit log: how many entries a second writers commit while it is sealed, and how long a million take to verify."""

import json
import os
import sys
from collections.abc import Iterator

from benchmarks import place
from benchmarks.figures import LEAST_RUNS, Figure

# The page is measured over so many entries; OPSDESK_BENCH_ENTRIES=20000000 takes a while to fill.
PAGE_ENTRIES = int(os.environ.get("OPSDESK_BENCH_ENTRIES") or 2_000_000)


def _measured(environment: dict[str, str], *arguments: str, module: str = "entries") -> dict[str, float]:
    found: dict[str, float] = json.loads(place.output_of(environment, module, *arguments))
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


def reading() -> Iterator[Figure]:
    """The first page of the audit log and of each of its filters, in milliseconds: the slowest of them counts."""
    with place.desk("--without-workers", "--without-replay") as environment:
        _measured(environment, "fill", str(PAGE_ENTRIES), module="reading")
        rounds = [_measured(environment, "measure", module="reading") for _ in range(LEAST_RUNS)]
    for query in rounds[0]:
        print(f"  /audit/?{query}: {rounds[0][query]:.0f} ms", file=sys.stderr)
    yield Figure("audit.page_ms", "ms", [max(each.values()) for each in rounds])
