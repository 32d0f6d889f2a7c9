"""The embedded database for as long as a command needs it: the one of a running desk, or one started for it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from opsdesk.embedded import preflight
from opsdesk.embedded.addresses import places
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.processes import CannotStart, launch, stop, wait_until_ready

_LOG = "postgres-alone.log"


@contextmanager
def at_hand(*, desk_may_run: bool) -> Iterator[None]:
    """Have the database answer. Raises CannotStart, also where the desk runs and must not."""
    where = places()
    with ExitStack() as held, preflight.plain_words():
        try:
            held.enter_context(preflight.sole_holder(where.var))
            alone = True
        except CannotStart:
            if not desk_may_run:
                raise
            alone = False
        if alone:
            preflight.identify(where)
            preflight.clear_leftovers(where)
            held.enter_context(_started(Postgres(where)))
        yield


@contextmanager
def _started(server: Postgres) -> Iterator[None]:
    server.prepare()
    service, var = server.service(), server.places.var
    process = launch(service, var, log=var / _LOG)
    try:
        wait_until_ready(service, process)
        yield
    finally:
        stop([(service, process)])
