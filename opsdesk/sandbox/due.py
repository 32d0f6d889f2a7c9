"""Things to do at their time, earliest first, for threads that wait without polling."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DueQueue(Generic[Item]):
    """A heap of (moment, item); `take` sleeps until the earliest one is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._paused = False

    def put(self, due: float, item: Item) -> None:
        """Add an item for a moment in seconds since 1970."""
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._order), item))
            self._changed.notify_all()

    def take(self) -> Item:
        """Wait for the next due item and remove it."""
        with self._changed:
            while True:
                wait = self._heap[0][0] - time.time() if self._heap else None
                if wait is not None and wait <= 0 and not self._paused:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(None if self._paused else wait)

    def pause(self, paused: bool) -> None:
        """Stop handing out items, or go on."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything that has not been taken."""
        with self._changed:
            self._heap.clear()
