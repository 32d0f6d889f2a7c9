"""More requests than anybody can answer: sent at their own pace, whoever answers how fast; every answer is kept."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

# A sender who is answered 503 comes again so often, when it was told to.
COMES_AGAIN = 3
GIVES_UP_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it goes over the line, on a connection of its own."""

    kind: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the status (0: nothing), how long it took, and when to come again."""

    kind: str
    status: int
    seconds: float
    retry_after: str
    attempt: int

    @property
    def served(self) -> bool:
        """Whether somebody looked at it, whatever they said."""
        return self.status not in (0, 503)


def ask(kind: str, method: str, path: str, *, body: bytes = b"", **headers: str) -> Ask:
    """A request; names of headers with underscores for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Ask(kind, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@dataclass
class Flood:
    """Requests to one port, drawn one after the other, and their answers."""

    port: int
    draw: Callable[[], Ask]
    answers: list[Answered] = field(default_factory=list)

    async def steadily(self, senders: int, seconds: float) -> None:
        """So many senders, each of whom asks again once it was answered."""
        end = time.monotonic() + seconds

        async def go_on() -> None:
            while time.monotonic() < end:
                await self.send(self.draw())

        await asyncio.gather(*(go_on() for _ in range(senders)))

    async def at_pace(self, per_second: float, seconds: float) -> None:
        """So many requests a second, however long answers take; whoever was refused comes again."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as senders:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(began + number / per_second - time.monotonic())
                senders.create_task(self._insist(self.draw(), until=began + seconds))

    async def _insist(self, request: Ask, *, until: float) -> None:
        for attempt in range(1 + COMES_AGAIN):
            answer = await self.send(request, attempt=attempt)
            pause = float(answer.retry_after or 1) if answer.status == 503 else 0.0
            if answer.served or time.monotonic() + pause > until:
                return
            await asyncio.sleep(pause * random.uniform(1.0, 1.1))

    async def send(self, request: Ask, *, attempt: int = 0) -> Answered:
        """Ask once and keep the answer."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(GIVES_UP_AFTER):
                status, retry_after = await self._exchange(request.text)
        except (OSError, TimeoutError):
            status, retry_after = 0, ""
        answer = Answered(request.kind, status, time.monotonic() - began, retry_after, attempt)
        self.answers.append(answer)
        return answer

    async def _exchange(self, text: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(text)
            answer = await reader.read()
        finally:
            writer.close()
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower().split("\r\n")
        again = [line.partition(":")[2].strip() for line in head if line.startswith("retry-after:")]
        return (int(head[0].split(" ")[1]) if head[0] else 0), "".join(again)

    def served(self) -> Counter[str]:
        """How many of each kind somebody looked at."""
        return Counter(answer.kind for answer in self.answers if answer.served)

    def refused(self, kind: str = "") -> list[Answered]:
        """What was answered 503, of a kind or of all."""
        return [answer for answer in self.answers if answer.status == 503 and kind in ("", answer.kind)]

    def share_refused(self, kind: str) -> float:
        """How many of a kind were refused, out of one."""
        asked = sum(answer.kind == kind for answer in self.answers)
        return len(self.refused(kind)) / asked if asked else 0.0

    def statuses(self) -> dict[str, int]:
        """How often each kind was answered how."""
        return dict(sorted(Counter(f"{answer.kind} {answer.status}" for answer in self.answers).items()))

    def seconds(self, *, served: bool, kind: str = "") -> list[float]:
        """How long answers took, shortest first."""
        fits = (each for each in self.answers if each.served is served and kind in ("", each.kind))
        return sorted(each.seconds for each in fits)


def high(seconds: list[float], percent: int) -> float:
    """That percentile; nothing took no time."""
    return statistics.quantiles(seconds, n=100)[percent - 1] if len(seconds) > 1 else sum(seconds)
