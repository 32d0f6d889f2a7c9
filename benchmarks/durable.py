"""The same five-step work in DBOS Transact, run as processes: `prepare URL`, `enqueue URL COUNT`, `work URL`.

Each step writes in one transaction what ours writes there: case, decision, grant and the entries of the log. The
library keeps its own rows of workflows and steps. Its plain steps with a connection a thread are the quickest way it
offers: its transactional steps write every checkpoint twice.
"""

import json
import os
import sys
import threading
import uuid
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient, DBOSConfig

_QUEUE, _VERSION = "five", "bench"
_TABLES = """
    CREATE SCHEMA IF NOT EXISTS bench;
    CREATE TABLE IF NOT EXISTS bench.cases (
        key text PRIMARY KEY, state text, amount bigint, currency text, data jsonb, facts jsonb,
        opened_at timestamptz DEFAULT now(), closed_at timestamptz);
    CREATE TABLE IF NOT EXISTS bench.decisions (
        id bigserial PRIMARY KEY, case_key text REFERENCES bench.cases, tier text, facts jsonb, trace jsonb,
        sentence text);
    CREATE TABLE IF NOT EXISTS bench.grants (
        id bigserial PRIMARY KEY, case_key text REFERENCES bench.cases,
        decision_id bigint UNIQUE REFERENCES bench.decisions, amount bigint);
    CREATE TABLE IF NOT EXISTS bench.entries (
        id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), verb text, subject text, after jsonb, reason text);
    CREATE INDEX IF NOT EXISTS entries_subject ON bench.entries (subject, id);
"""
_NOTED = {
    "amount": 495, "currency": "GBP", "order.on_file": True, "order.days_since": 5, "customer.known": True,
}  # fmt: skip
_FACTS = {
    name: {"value": value, "source": "request", "at": "2026-01-01T00:00:00+00:00"} for name, value in _NOTED.items()
}
_TRACE = [
    {"source": "rules", "result": "miss", "words": f"Rule {number} does not hold", "tier": None, "facts": ["amount"]}
    for number in range(4)
]
_own = threading.local()
_url = sys.argv[2] if len(sys.argv) > 2 else ""


def _connection() -> "psycopg.Connection[Any]":
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(_url, autocommit=True)
    connection: psycopg.Connection[Any] = _own.connection
    return connection


def _tell(cursor: "psycopg.Cursor[Any]", verb: str, key: str, after: object) -> None:
    cursor.execute(
        "INSERT INTO bench.entries (verb, subject, after, reason) VALUES (%s, %s, %s, %s)",
        (verb, key, json.dumps(after), "Because it was measured."),
    )


@DBOS.step()
def understand(key: str) -> int:
    """Open the case with its facts."""
    with _connection().transaction(), _connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench.cases (key, state, amount, currency, data, facts)"
            " VALUES (%s, 'open', 495, 'GBP', %s, %s)",
            (key, json.dumps({"reference": key, "amount": "4.95"}), json.dumps(_FACTS)),
        )
        _tell(cursor, "case.opened", key, {"amount": 495})
        _tell(cursor, "run.gathered", key, {"facts": 5})
    return len(_FACTS)


@DBOS.step()
def decide(key: str) -> int:
    """Store the decision with its trace."""
    with _connection().transaction(), _connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench.decisions (case_key, tier, facts, trace, sentence)"
            " VALUES (%s, 'instant', %s, %s, 'Instant: 4.95 GBP is within the limit.') RETURNING id",
            (key, json.dumps(_FACTS), json.dumps(_TRACE)),
        )
        row = cursor.fetchone()
        _tell(cursor, "run.decided", key, {"tier": "instant"})
    return int(row[0]) if row else 0


@DBOS.step()
def approve(key: str, decision: int) -> int:
    """Grant by rule."""
    with _connection().transaction(), _connection().cursor() as cursor:
        cursor.execute("INSERT INTO bench.grants (case_key, decision_id, amount) VALUES (%s, %s, 495)", (key, decision))
        _tell(cursor, "authorization.granted", key, {"amount": 495})
    return decision


@DBOS.step()
def tell(key: str) -> int:
    """Note one fact."""
    with _connection().transaction(), _connection().cursor() as cursor:
        _tell(cursor, "run.gathered", key, {"facts": 1})
    return 1


@DBOS.step()
def close(key: str) -> int:
    """Note one fact and close the case."""
    with _connection().transaction(), _connection().cursor() as cursor:
        cursor.execute("UPDATE bench.cases SET state = 'done', closed_at = now() WHERE key = %s", (key,))
        _tell(cursor, "run.gathered", key, {"facts": 1})
        _tell(cursor, "case.finished", key, {"state": "done"})
    return 1


@DBOS.workflow()
def five(key: str) -> str:
    """Five steps."""
    understand(key)
    approve(key, decide(key))
    tell(key)
    close(key)
    return key


def _launch() -> None:
    config: DBOSConfig = {
        "name": "five",
        "system_database_url": _url,
        "application_version": _VERSION,
        "executor_id": str(os.getpid()),
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        _QUEUE, worker_concurrency=int(os.environ.get("BENCH_CONCURRENCY", "16")), polling_interval_sec=0.05
    )


def prepare() -> None:
    """The tables of both."""
    with psycopg.connect(_url, autocommit=True) as connection:
        connection.execute(_TABLES)
    _launch()
    DBOS.destroy()


def enqueue(count: int) -> None:
    """Put so many workflows into the queue."""
    client = DBOSClient(system_database_url=_url)
    prefix = uuid.uuid4().hex[:12]
    for number in range(count):
        client.enqueue({"queue_name": _QUEUE, "workflow_name": "five", "app_version": _VERSION}, f"{prefix}x{number}")


def work() -> None:
    """Work the queue off, as one process of several, until the input closes."""
    _launch()
    print("ready", flush=True)
    sys.stdin.read()
    DBOS.destroy()


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "enqueue":
        enqueue(int(rest[1]))
    else:
        {"prepare": prepare, "work": work}[verb]()
