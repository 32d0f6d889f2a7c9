"""What `manage.py check --deploy` says: whether the role of the processes owns nothing (with `--database default`), and
what is missing for signing in by the identity provider."""

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import DEFAULT_DB_ALIAS, connection


@checks.register(checks.Tags.database, deploy=True)
def check_roles_are_separate(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """A warning that says what is not separated, and how it is."""
    from opsdesk.watch.doctor import servers  # the models are not there when this file is read
    from opsdesk.watch.doctor.opinions import Verdict

    if DEFAULT_DB_ALIAS not in (databases or ()) or "auditlog_entry" not in connection.introspection.table_names():
        return []
    return [
        checks.Warning(opinion.words, hint=opinion.advice, id="opsdesk.W001")
        for opinion in servers.roles_are_separate()
        if opinion.verdict is not Verdict.GOOD
    ]


@checks.register(checks.Tags.security, deploy=True)
def check_provider_is_named(**kwargs: Any) -> list[checks.CheckMessage]:
    """A warning for settings of the identity provider that let nobody in, or that could protect more."""
    from opsdesk.watch.doctor import doors  # the models are not there when this file is read

    return [
        checks.Warning(opinion.words, hint=opinion.advice, id="opsdesk.W002") for opinion in doors.provider_is_named()
    ]
