"""Several threads at the same moment, each with a database connection of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections

# Long enough for any lock to be had; a thread that needs longer is stuck.
PATIENCE_SECONDS = 30.0


def at_once(*steps: Callable[[], Any]) -> list[Any]:
    """Start all steps at a barrier; gives what each returned or the exception it raised, in their order."""
    results: list[Any] = [None] * len(steps)
    barrier = threading.Barrier(len(steps))

    def run(place: int, step: Callable[[], Any]) -> None:
        try:
            barrier.wait(PATIENCE_SECONDS)
            results[place] = step()
        except Exception as error:  # noqa: BLE001 - refusals are results
            results[place] = error
        finally:
            connections.close_all()

    _join(threading.Thread(target=run, args=(place, step), daemon=True) for place, step in enumerate(steps))
    return results


def round_by_round(workers: Sequence[Callable[[int], Any]], rounds: int) -> list[list[Any]]:
    """Let each worker do every round in one thread and on one connection; the n-th rounds start at a barrier.

    Gives, for each round, what each worker returned or raised.
    """
    results: list[list[Any]] = [[None] * len(workers) for _ in range(rounds)]
    barrier = threading.Barrier(len(workers))

    def run(place: int, worker: Callable[[int], Any]) -> None:
        try:
            for number in range(rounds):
                barrier.wait(PATIENCE_SECONDS)
                try:
                    results[number][place] = worker(number)
                except Exception as error:  # noqa: BLE001 - refusals are results
                    results[number][place] = error
        finally:
            connections.close_all()

    _join(threading.Thread(target=run, args=(place, worker), daemon=True) for place, worker in enumerate(workers))
    return results


def _join(threads: Any) -> None:
    started = list(threads)
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(4 * PATIENCE_SECONDS)
        assert not thread.is_alive(), "A thread is stuck."
