"""Emptying the database after tests that commit: of more than a hundred tables a test fills some twenty.

TRUNCATE makes new files for every table and index, and Django then fills in content types and permissions again. Here
rows are deleted where there are any, and those two kinds, which every test finds alike, stay.
"""

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

# As the tables' owner may: a server given by its URL has no superuser for tests. Until the last row is gone the
# triggers of the desk, which keep rows from being removed, are off; foreign keys are looked at in the end.
_EMPTY = """
DO $empty$
DECLARE
    each regclass;
    filled regclass[] := '{}';
    found boolean;
BEGIN
    FOR each IN SELECT oid::regclass FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
        AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission') LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', each) INTO found;
        IF found THEN
            filled := filled || each;
        END IF;
    END LOOP;
    FOREACH each IN ARRAY filled LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', each);
    END LOOP;
    FOREACH each IN ARRAY filled LOOP
        EXECUTE format('DELETE FROM %s', each);
    END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    FOREACH each IN ARRAY filled LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', each);
    END LOOP;
END $empty$
"""


def empty() -> None:
    """Remove every row but those that say which tables there are."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # that of a page is for its own statements
        cursor.execute(_EMPTY)


@pytest.fixture(scope="session", autouse=True)
def _emptied_after_tests_that_commit() -> Iterator[None]:
    """Have Django's test case for such tests do that instead of `flush`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty())
        yield
