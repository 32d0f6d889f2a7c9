"""A small HTTP client that costs little: prepared requests over kept connections."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """What came of a load: seconds it took, and per request its latency in milliseconds and its status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answered requests a second. Raises when one was not answered with 2xx: that would measure refusals."""
        bad = [status for status in self.statuses if not 200 <= status < 300]
        if bad:
            raise RuntimeError(f"{len(bad)} of {len(self.statuses)} answers were no success, such as {bad[0]}.")
        return len(self.statuses) / self.seconds


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One prepared request that sends something."""
    return (
        _prepared("POST", path, {"Content-Length": str(len(body)), "Content-Type": "application/json"} | headers) + body
    )


def get(path: str, headers: dict[str, str]) -> bytes:
    """One prepared request that asks for a page."""
    return _prepared("GET", path, headers)


def _prepared(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def _run(port: int, requests: Sequence[bytes], connections: int, per_second: float | None) -> Load:
    load, turns = Load(), iter(enumerate(requests))
    started = time.perf_counter()

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, request in turns:
            # With a rate, latency counts from when the request was due, so that a stall cannot hide behind itself.
            due = started + number / per_second if per_second else time.perf_counter()
            if per_second and (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            writer.write(request)
            load.statuses.append(await _answer(reader))
            load.latencies.append((time.perf_counter() - due) * 1000)
        writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


def send(port: int, requests: Sequence[bytes], *, connections: int = 16, per_second: float | None = None) -> Load:
    """Send prepared requests, as fast as they are answered or at a rate."""
    return asyncio.run(_run(port, requests, connections, per_second))
