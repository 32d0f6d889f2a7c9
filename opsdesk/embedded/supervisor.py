"""Keeps the processes of a desk alive: ordered start, readiness, restart with back-off, ordered stop."""

import contextlib
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from opsdesk.embedded.processes import (
    CannotStart,
    Process,
    Runs,
    Service,
    ending,
    kill_session,
    launch,
    stop,
    wait_until_ready,
)

FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
STEADY_SECONDS = 30  # a service that lived this long starts again with the first delay
LINE_LIMIT = 20_000


@dataclass(frozen=True)
class Stage:
    """Services that start together; the next stage waits until each is ready. `then` runs after that."""

    services: tuple[Service, ...]
    then: Callable[[], None] = lambda: None


class Terminal:
    """Writes whole lines, each with the time and who says it; losing the reader stops nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, name: str, text: str) -> None:
        """Write one line."""
        line = f"{time.strftime('%H:%M:%S')} {name:<9}| {text}\n"
        with self._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(line)
            sys.stdout.flush()


class Kept:
    """One service of a running desk and the threads that watch over it."""

    def __init__(self, service: Service, desk: Path, say: Callable[[str, str], None]) -> None:
        self.service = service
        self.last_lines: deque[str] = deque(maxlen=20)
        self.process: Process | None = None
        self._desk, self._say = desk, say
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self._spawning = threading.Lock()

    def start(self) -> None:
        """Start the process; from `watch` on it is also kept alive."""
        with self._spawning:
            if self._stopping.is_set():
                return
            self.process = launch(self.service, self._desk)
        threading.Thread(target=self._pump, args=(self.process,), daemon=True).start()

    def watch(self) -> None:
        """Start it again whenever it dies, later each time."""
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def release(self) -> Process | None:
        """Stop watching; returns the process if it still runs."""
        self._stopping.set()
        with self._spawning:
            return self.process if self.process and self.process.poll() is None else None

    def end(self) -> None:
        """Wait until nobody watches any more; the process has been stopped before."""
        if self._keeper:
            self._keeper.join(timeout=5)

    def last_words(self) -> str:
        """The last thing it wrote, for a sentence about why it did not start."""
        time.sleep(0.2)  # the line may still be on its way
        return next((line for line in reversed(self.last_lines) if line.strip()), "it did not say why")

    def _keep(self) -> None:
        delay = FIRST_DELAY
        while self.process is not None:
            began = time.monotonic()
            code = self.process.wait()
            kill_session(self.process.pid)  # children that lost their parent
            if self._stopping.is_set():
                return
            if self.service.runs is Runs.UNTIL_DONE and code == 0:
                self._say("up", f"{self.service.name} is done")
                return
            if time.monotonic() - began > STEADY_SECONDS:
                delay = FIRST_DELAY
            self._say("up", f"{self.service.name} ended with {ending(code)}, starts again in {delay:.1f} s")
            if self._stopping.wait(delay):
                return
            delay = min(delay * 2, LONGEST_DELAY)
            self.start()

    def _pump(self, process: Process) -> None:
        """Pass its output on, line by line; over-long lines are cut so that nothing blocks or grows."""
        stream = process.stdout
        while stream and (line := stream.readline(LINE_LIMIT)):
            text = line.decode(errors="replace").rstrip()
            self.last_lines.append(text)
            self._say(self.service.name, text)


class Supervisor:
    """Runs the stages of a desk until somebody asks it to stop."""

    def __init__(self, desk: Path, terminal: Terminal | None = None) -> None:
        self.desk = desk
        self.terminal = terminal or Terminal()
        self._layers: list[list[Kept]] = []
        self._signals = 0

    def run(self, stages: Sequence[Stage]) -> None:
        """Start all, wait for Ctrl-C, SIGTERM or a closed terminal, stop all. Raises CannotStart."""
        for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(wanted, self._note_signal)
        try:
            for stage in stages:
                self._start(stage)
            while not self._signals:
                time.sleep(0.1)
        finally:
            self._stop()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        # Only counted here: a handler that took a lock could wait for the very code it interrupted.
        self._signals += 1

    def _start(self, stage: Stage) -> None:
        layer = [Kept(service, self.desk, self.terminal.say) for service in stage.services]
        self._layers.append(layer)
        for kept in layer:
            if not self._signals:
                kept.start()
        for kept in layer:
            self._await(kept)
        if not self._signals:
            stage.then()

    def _await(self, kept: Kept) -> None:
        if kept.process is None:
            return
        try:
            wait_until_ready(kept.service, kept.process, given_up=lambda: self._signals > 0)
        except CannotStart as refusal:
            raise CannotStart(f"{refusal}: {kept.last_words()}") from refusal
        if kept.service.runs is not Runs.ONCE:
            kept.watch()

    def _stop(self) -> None:
        if self._signals:
            self.terminal.say("up", "stopping (Ctrl-C again kills)")
        began, asked = time.monotonic(), self._signals
        for layer in reversed(self._layers):
            running = [(kept.service, process) for kept in layer if (process := kept.release())]
            for name in stop(running, hurry=lambda: self._signals > asked):
                self.terminal.say("up", f"{name} did not end when asked and was killed")
            for kept in layer:
                kept.end()
        self.terminal.say("up", f"everything is stopped, after {time.monotonic() - began:.1f} s")
