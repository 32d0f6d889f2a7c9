"""The figures as Prometheus reads them. Computed from rows at each scrape, so every process says the same."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from opsdesk.watch import figures, refusals
from opsdesk.watch.figures import Figure
from opsdesk.watch.heartbeats import database_now


class Rows:
    """A collector that asks the database."""

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order in which the docs list them."""
        now = database_now()
        depth = _gauge("due", "Rows that are due and not done, by kind; counted up to 10001.", "queue")
        lag = _gauge("due_lag_seconds", "How long the oldest due row of a kind has been due.", "queue")
        for name, count, seconds in figures.queues(now):
            depth.add_metric([name], count)
            lag.add_metric([name], seconds)
        yield depth
        yield lag
        yield _family("runs", "Runs that have not ended, by state.", ("state", "waits_for"), figures.active_runs())
        yield _family("events_5m", "Events taken in.", ("source", "state"), figures.events_lately())
        yield _family("steps_5m", "Steps performed.", ("kind", "outcome"), figures.steps_lately())
        yield from _step_lengths()
        place = ("organization", "connection", "operation")
        yield _family("actions_5m", "Actions begun.", (*place, "state"), figures.actions_lately())
        yield _family("calls_5m", "Calls to outside systems.", (*place, "outcome"), figures.calls_lately())
        reviews = figures.review_ages(now)
        counts = [Figure((row.tier,), row.open) for row in reviews]
        yield _family("reviews_open", "Reviews that wait for people.", ("tier",), counts)
        late = [Figure((row.tier,), row.late) for row in reviews]
        yield _family("reviews_late", "Open reviews past their time.", ("tier",), late)
        ages = [Figure((row.tier,), row.oldest_seconds) for row in reviews]
        yield _family("review_oldest_seconds", "Age of the oldest open review.", ("tier",), ages)
        yield _family("failures", "Causes of stopped runs that need somebody.", ("kind",), figures.failures())
        yield _family("alerts", "Open alerts of the watchdog.", ("kind",), figures.alerts())
        yield _family("processes", "Processes seen in the last minute.", ("kind",), figures.processes(now))
        refused = CounterMetricFamily("opsdesk_requests_refused", "Answered 503 for want of room.", labels=("kind",))
        for kind, total in refusals.totals().items():
            refused.add_metric([kind], total)
        yield refused
        silences = figures.silences(now)
        yield _family("silence_seconds", "Since it was last seen at work.", ("kind", "name"), silences)


def exposition() -> bytes:
    """All figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Rows())
    return generate_latest(registry)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"opsdesk_{name}", words, labels=labels)


def _family(name: str, words: str, labels: tuple[str, ...], found: Iterable[Figure]) -> GaugeMetricFamily:
    family = _gauge(name, words, *labels)
    for figure in found:
        family.add_metric(figure.labels, figure.value)
    return family


def _step_lengths() -> Iterator[Metric]:
    """Sum and count let a mean be made; median and high end are said as gauges, for rows know them exactly."""
    summary = SummaryMetricFamily(
        "opsdesk_step_seconds_5m", "From the end of the step before to the end of this one.", labels=("step", "kind")
    )
    quantiles = _gauge("step_seconds_5m_quantile", "The same: median and 95th percentile.", "step", "kind", "quantile")
    for row in figures.step_lengths():
        summary.add_metric([row.step, row.kind], count_value=row.count, sum_value=row.total)
        quantiles.add_metric([row.step, row.kind, "0.5"], row.median)
        quantiles.add_metric([row.step, row.kind, "0.95"], row.high)
    yield summary
    yield quantiles
