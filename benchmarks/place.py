"""A private place to measure in: servers of its own, durable as in production, thrown away afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from opsdesk.embedded.addresses import AS_OWNER

ROOT = Path(__file__).resolve().parent.parent
PORTS = ("OPSDESK_PORT", "OPSDESK_GATEWAY_PORT", "OPSDESK_INBOX_PORT", "OPSDESK_SMTP_PORT")
_READY_SECONDS = 300


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def desk(*options: str, settings: str = "opsdesk.settings") -> Iterator[dict[str, str]]:
    """A whole desk of its own (`manage.py up` with `options`) while the block lasts; yields its environment."""
    folder = Path(tempfile.mkdtemp(prefix="opsdesk-bench-"))
    environment = {
        **os.environ,
        **{name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)},
        "OPSDESK_VAR": str(folder / "var"),
        "DJANGO_SETTINGS_MODULE": settings,
    }
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):
        environment.pop(name, None)
    os.environ.update({name: environment[name] for name in (*PORTS, "OPSDESK_VAR", "DJANGO_SETTINGS_MODULE")})
    log = (folder / "log").open("w")
    command = [sys.executable, str(ROOT / "manage.py"), "up", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_open(process, environment["OPSDESK_PORT"], folder / "log")
        yield {**environment, "BENCH_PID": str(process.pid)}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        # A root's desk may keep its database outside the folder; the desk knows where.
        reset = [sys.executable, str(ROOT / "manage.py"), "reset", "--yes"]
        subprocess.run(reset, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_open(process: "subprocess.Popen[bytes]", port: str, log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urlopen(f"http://127.0.0.1:{port}/sign-in/", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The desk to measure did not open:\n{log.read_text()[-3000:]}")


def output_of(environment: Mapping[str, str], module: str, *arguments: str) -> str:
    """What a module of the benches prints; it runs beside the desk as the tables' owner, who may analyse them."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    as_owner = {**environment, AS_OWNER: "1"}
    done = subprocess.run(command, env=as_owner, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout


def cpu_seconds(pid: int) -> float:
    """CPU that every process of the desk has used so far: web, workers, PostgreSQL, broker and gateway."""
    total = 0.0
    for process in psutil.Process(pid).children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
