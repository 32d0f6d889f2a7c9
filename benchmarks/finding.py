"""Finding and deciding beside a million cases, 50,000 of them open."""

import json
from collections.abc import Iterator, Mapping

from benchmarks import place
from benchmarks.figures import Figure

ROUNDS = 3
FEW, MANY = (10_000, 500), (1_000_000, 49_500)  # cases in all, and how many of those added are open


def _rounds(environment: Mapping[str, str], cases: int, waiting: int) -> list[dict[str, float]]:
    place.output_of(environment, "many", "fill", str(cases), str(waiting))
    return [json.loads(place.output_of(environment, "many", "measure")) for _ in range(ROUNDS)]


def million() -> Iterator[Figure]:
    """The 95th percentile of queues, their news, searches, cases and decisions, beside 10,000 and 1,000,000 cases."""
    with place.desk("--without-replay", "--without-workers") as environment:
        few, many = (_rounds(environment, *size) for size in (FEW, MANY))
    for name, key in (
        ("queue.page_1m", "page"),
        ("queue.news_1m_ms", "news"),
        ("queue.search_1m_ms", "search"),
        ("case.open_1m_ms", "open"),
        ("review.decide_ms", "decide"),
    ):
        yield Figure(name, "ms", [each[key] for each in many], [each[key] for each in few])
