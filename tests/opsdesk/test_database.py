"""What the database only refuses for the moment is tried again, a few times and no more."""

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from opsdesk.lib.database import MOST_TRIES, patiently

pytestmark = pytest.mark.django_db


class Refused:
    """A transaction that the server itself refuses so many times."""

    def __init__(self, times: int, code: str = "40P01") -> None:
        self.left, self.code, self.tries = times, code, 0

    def __call__(self) -> str:
        self.tries += 1
        with transaction.atomic(), connection.cursor() as cursor:
            if self.tries <= self.left:
                cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{self.code}'; END $$")
            cursor.execute("SELECT 'done'")
            return cursor.fetchone()[0]


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03", "57014"])
def test_what_asks_for_another_try_gets_one(code):
    act = Refused(2, code)

    assert patiently(act) == "done"
    assert act.tries == 3


def test_tries_come_to_an_end():
    act = Refused(99)

    with pytest.raises(OperationalError):
        patiently(act)
    assert act.tries == MOST_TRIES


def test_what_is_simply_wrong_is_not_tried_again():
    act = Refused(99, "23514")

    with pytest.raises(DatabaseError):
        patiently(act)
    assert act.tries == 1
