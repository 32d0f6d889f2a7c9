"""The copies of the tide mark outside the database: a file beside the desk's data, and the Redis-compatible server.

A copy may lag behind (a host that has no worker any more), so the highest one counts. None may ever run ahead of what
the database has committed.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)
# A copy that is not there at once is done without: the other one says enough.
_PATIENCE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Known:
    """The highest number that any copy knows of this database, if one does; `certain` when all could be read."""

    number: int | None
    certain: bool = True


def highest(desk: UUID) -> Known:
    """Ask all copies."""
    numbers, certain = list[int](), True
    for ask in (_in_file, _in_redis):
        try:
            number = ask(desk)
        except (OSError, redis.RedisError, ValueError, KeyError, TypeError) as error:
            log.warning("tide_copy_unreadable", where=ask.__name__, error=str(error))
            certain = False
        else:
            numbers += [] if number is None else [number]
    return Known(max(numbers, default=None), certain)


def keep(desk: UUID, number: int) -> None:
    """Copy a number that the database has committed. A copy that cannot be written is said and left as it is."""
    try:
        _write(_file(), json.dumps({"desk": str(desk), "number": number}))
    except OSError as error:
        log.warning("tide_not_copied", to=str(_file()), error=str(error))
    try:
        with _server() as server:
            server.set(_name(desk), number)
    except redis.RedisError as error:
        log.warning("tide_not_copied", to="redis", error=str(error))


def _file() -> Path:
    return Path(settings.VAR_DIR) / "tide.json"


def _in_file(desk: UUID) -> int | None:
    try:
        found = json.loads(_file().read_text())
    except FileNotFoundError:
        return None
    # Another database's mark says nothing about this one.
    return int(found["number"]) if found["desk"] == str(desk) else None


def _write(path: Path, text: str) -> None:
    """Put the file there whole, however many write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.half")
    half.write_text(text)
    half.replace(path)


def _name(desk: UUID) -> str:
    return f"opsdesk:tide:{desk}"


def _server() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS
    )


def _in_redis(desk: UUID) -> int | None:
    with _server() as server:
        found = server.get(_name(desk))
    return int(found) if isinstance(found, bytes) else None
