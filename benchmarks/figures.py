"""A figure: a median over several runs, beside a reference measured in the same runs."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_RUNS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing; `values` and `references` are one number a run, in `unit`."""

    name: str
    unit: str
    values: Sequence[float]
    references: Sequence[float] = ()

    def as_data(self) -> dict[str, Any]:
        """The medians and the median of the ratios run by run."""
        if len(self.values) < LEAST_RUNS:
            raise ValueError(f"{self.name} was measured {len(self.values)} times; {LEAST_RUNS} are the least.")
        pairs = [value / reference for value, reference in zip(self.values, self.references, strict=False)]
        return {
            "value": round(statistics.median(self.values), 2),
            "unit": self.unit,
            "reference": round(statistics.median(self.references), 2) if self.references else None,
            "ratio": round(statistics.median(pairs), 3) if pairs else None,
            "runs": len(self.values),
        }


Bench = Callable[[], Iterable[Figure]]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
