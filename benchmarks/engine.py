"""The engine: five-step runs without outside calls, against DBOS Transact and against what the database could write.

Everybody works on the same PostgreSQL in turn, with two worker processes each; ours are the desk's own Celery workers.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks import place
from benchmarks.figures import Figure

ROUNDS, WARM_UP, RUNS, THEIR_RUNS, WORKERS, WRITE_SECONDS = 3, 600, 4_000, 800, 2, 6
MEMORY_WARM_UP, MEMORY_RUNS = 4_000, 20_000
_PATIENCE_SECONDS = 180
_COMMITS = "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = %s"
_LEFT = "SELECT count(*) FROM dbos.workflow_status WHERE status NOT IN ('SUCCESS')"
Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Round:
    """Runs a second of one round, and what each run cost: commits, and CPU of all processes in milliseconds."""

    rate: float
    commits: float
    cpu_ms: float


def five_steps() -> Iterator[Figure]:
    """Runs a second against DBOS's, and as a share of what the rows alone would allow; what a run costs."""
    ours: list[Round] = []
    theirs: list[Round] = []
    writes: list[float] = []
    with place.desk("--without-replay", settings="benchmarks.settings") as environment:
        place.output_of(environment, "five", "prepare")
        database = _database(environment)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("CREATE DATABASE durable")
        durable = database.replace("/opsdesk?", "/durable?")
        _of_durable("prepare", durable)
        place.output_of(environment, "five", "run", str(WARM_UP))
        for _ in range(ROUNDS):
            theirs.append(_their_round(environment, durable))
            ours.append(_our_round(environment, database))
            writes.append(float(place.output_of(environment, "writes", str(WRITE_SECONDS))))
    yield Figure("engine.five_steps", "runs/s", [r.rate for r in ours], [r.rate for r in theirs])
    yield Figure("engine.share_of_write_limit", "runs/s", [r.rate for r in ours], writes)
    yield Figure("engine.commits_per_run", "commits", [r.commits for r in ours], [r.commits for r in theirs])
    yield Figure("engine.cpu_ms_per_run", "ms", [r.cpu_ms for r in ours], [r.cpu_ms for r in theirs])


def claiming() -> Iterator[Figure]:
    """A claim of 20 among 50,000 due runs, beside the bare statement: one order, no joins, no update."""
    with place.desk("--without-replay", "--without-workers") as environment:
        place.output_of(environment, "claims", "fill")
        pairs = [json.loads(place.output_of(environment, "claims", "measure")) for _ in range(ROUNDS)]
    yield Figure("engine.claim_ms_50k", "ms", [ours for ours, _ in pairs], [bare for _, bare in pairs])


def crowd() -> Iterator[Figure]:
    """While 50,000 runs are due: the slowest of a hundred pages, and how long an urgent case takes to its end."""
    with place.desk("--without-replay", settings="benchmarks.settings") as environment:
        place.output_of(environment, "crowd", "prepare")
        rounds = [json.loads(place.output_of(environment, "crowd", "measure")) for _ in range(ROUNDS)]
    yield Figure("engine.pages_p99_ms_50k", "ms", [page for page, _ in rounds])
    yield Figure("engine.urgent_case_s_50k", "s", [urgent for _, urgent in rounds])


def memory() -> Iterator[Figure]:
    """By how many megabytes 20,000 runs let the one process grow that works them off, once it is warm."""
    grown: list[float] = []
    with place.desk("--without-replay", "--without-workers", settings="benchmarks.settings") as environment:
        place.output_of(environment, "five", "prepare")
        with _one_worker(environment) as worker:
            place.output_of(environment, "five", "run", str(MEMORY_WARM_UP))
            for _ in range(ROUNDS):
                [child] = worker.children()
                before = child.memory_info().rss
                place.output_of(environment, "five", "run", str(MEMORY_RUNS))
                assert [each.pid for each in worker.children()] == [child.pid], "The worker was replaced meanwhile."
                grown.append((child.memory_info().rss - before) / 1024**2)
    yield Figure("engine.memory_growth_mb", "MB", grown)


def _our_round(environment: Environment, database: str) -> Round:
    time.sleep(2)
    pid = int(environment["BENCH_PID"])
    commits, cpu = _commits(database, "opsdesk"), place.cpu_seconds(pid)
    rate = float(place.output_of(environment, "five", "run", str(RUNS)))
    used = (place.cpu_seconds(pid) - cpu) * 1000
    time.sleep(2)  # the statistics of a session arrive late
    return Round(rate, (_commits(database, "opsdesk") - commits) / RUNS, used / RUNS)


def _their_round(environment: Environment, durable: str) -> Round:
    """The queue is filled before anybody works, and the count begins once both processes do."""
    _of_durable("enqueue", durable, str(THEIR_RUNS))
    pid = int(environment["BENCH_PID"])
    with ExitStack() as stack, psycopg.connect(durable, autocommit=True) as connection:
        workers = [stack.enter_context(_durable_worker(durable)) for _ in range(WORKERS)]
        for worker in workers:
            assert worker.stdout is not None and worker.stdout.readline() == "ready\n", "A worker did not start."
        began, left, commits = time.perf_counter(), _left(connection), _commits(durable, "durable")
        cpu = _cpu(pid, workers)
        while _left(connection):
            assert time.perf_counter() - began < _PATIENCE_SECONDS, "DBOS did not end its work."
            time.sleep(0.1)
        seconds = time.perf_counter() - began
        used = (_cpu(pid, workers) - cpu) * 1000
        time.sleep(2)
        return Round(left / seconds, (_commits(durable, "durable") - commits) / left, used / left)


def _cpu(pid: int, workers: list["subprocess.Popen[str]"]) -> float:
    own = [psutil.Process(worker.pid).cpu_times() for worker in workers]
    return place.cpu_seconds(pid) + sum(times.user + times.system for times in own)


def _left(connection: "psycopg.Connection[tuple[int]]") -> int:
    row = connection.execute(_LEFT).fetchone()
    assert row is not None
    return int(row[0])


def _commits(url: str, database: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(_COMMITS, [database]).fetchone()
    assert row is not None
    return int(row[1])


@contextmanager
def _durable_worker(durable: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.durable", "work", durable]
    process = subprocess.Popen(command, cwd=place.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _one_worker(environment: Environment) -> Iterator[psutil.Process]:
    """The desk's worker as it is always started, but with one process that works."""
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "opsdesk", "worker", "--pool", "prefork"]
    alone = ["--concurrency", "1", "--without-mingle", "--without-gossip", "--loglevel", "WARNING"]
    with (Path(environment["OPSDESK_VAR"]) / "worker.log").open("w") as log:
        process = subprocess.Popen([*command, *alone], cwd=place.ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _of_durable(verb: str, durable: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "benchmarks.durable", verb, durable, *arguments]
    subprocess.run(command, check=True, cwd=place.ROOT, stdout=subprocess.DEVNULL)


def _database(environment: Environment) -> str:
    code = "from opsdesk.embedded.addresses import database_url; print(database_url(owner=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, cwd=place.ROOT, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()
