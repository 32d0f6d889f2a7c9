"""Looking at everything, one after the other; what breaks is itself an opinion."""

from collections.abc import Iterator

from django.db import Error, connection

from opsdesk.watch.doctor import doors, ground, life, servers
from opsdesk.watch.doctor.opinions import Examination, Opinion, noted, wrong

EXAMINATIONS: tuple[Examination, ...] = (
    Examination("settings", ground.settings_are_safe, needs_database=False),
    Examination("disk", ground.space_is_left, needs_database=False),
    Examination("static files", ground.static_files_are_there, needs_database=False),
    Examination("broker", servers.broker_answers, needs_database=False),
    Examination("errands", servers.errands_are_kept, needs_database=False),
    Examination("database", servers.database_answers),
    Examination("roles", servers.roles_are_separate),
    Examination("search", servers.texts_can_be_searched),
    Examination("migrations", servers.migrations_are_applied),
    Examination("changes", servers.changes_are_taken_down),
    Examination("time-outs", servers.limits_are_set),
    Examination("clock", servers.clocks_agree),
    Examination("secrets", ground.secrets_can_be_read),
    Examination("sign-in", doors.provider_lets_people_in),
    Examination("beat", life.clock_goes),
    Examination("workers", life.workers_live),
    Examination("periodic work", life.tasks_are_done),
    Examination("hosts", life.hosts_agree),
    Examination("queues", life.nothing_is_stuck),
    Examination("leases", life.leases_are_given_back),
    Examination("webhooks", life.webhooks_arrive),
    Examination("audit log", life.log_is_sealed),
    Examination("backups", life.backups_are_there),
    Examination("erasures", life.erasures_are_done),
    Examination("alerts", life.alerts_are_looked_after),
)


def examine() -> Iterator[tuple[str, Opinion]]:
    """Every opinion with the name of what it is about."""
    trouble = _database_trouble()
    if trouble:
        yield (
            "database",
            wrong(
                f"The database does not answer: {trouble}.",
                "Start it, or correct DATABASE_URL. Until then nothing is taken in and nothing goes on.",
            ),
        )
    for examination in EXAMINATIONS:
        if examination.needs_database and trouble:
            continue
        yield from ((examination.name, opinion) for opinion in _look(examination))
    if trouble:
        yield "database", noted("What lies in the database was not looked at.")


def _database_trouble() -> str:
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""


def _look(examination: Examination) -> list[Opinion]:
    try:
        return list(examination.look())
    except Error as error:
        words = " ".join(str(error).split()).rstrip(".")
        return [wrong(f"It could not be looked at: {words}.", "Run manage.py prepare, then ask again.")]
