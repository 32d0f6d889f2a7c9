"""Secrets at rest: bound to their row, and moved from key to key without losing one."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from auditlog.models import Entry
from integrations import secrets
from integrations.models import Connection, Endpoint
from integrations.secrets import Undecryptable, decrypt, encrypt, is_current, reveal
from opsdesk.watch.doctor import ground
from opsdesk.watch.doctor.opinions import Verdict
from tests.factories import make_organization

pytestmark = pytest.mark.django_db
CANARY = "sk_live_canary_number_"
MANY = 40


@pytest.fixture
def connections():
    organization = make_organization()
    return [
        Connection.objects.create(
            organization=organization,
            slug=f"system-{number}",
            name=f"System {number}",
            connector="stripe",
            base_url="https://api.example.com",
            secret=encrypt(f"{CANARY}{number}"),
        )
        for number in range(MANY)
    ]


@pytest.fixture
def keys(settings):
    """Keys from new to old, the one in use last."""
    return [Fernet.generate_key().decode(), *settings.FIELD_KEYS]


def whole_table() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(c::text, ' ') FROM integrations_connection c")
        return str(cursor.fetchone()[0])


def test_nothing_of_a_secret_stands_in_the_table(connections):
    assert [reveal(each) for each in connections] == [f"{CANARY}{number}" for number in range(MANY)]
    assert CANARY not in whole_table()


def test_a_cipher_text_copied_to_another_row_opens_nothing_there(connections):
    ours, other = connections[0], Connection.objects.get(pk=connections[1].pk)
    Connection.objects.filter(pk=other.pk).update(secret=ours.secret)
    other.refresh_from_db()

    with pytest.raises(Undecryptable, match="stored for something else"):
        reveal(other)
    other.save()
    with pytest.raises(Undecryptable):
        reveal(Connection.objects.get(pk=other.pk))


def test_nor_does_one_copied_between_tables(connections):
    source = connections[0]
    endpoint = Endpoint(
        organization=source.organization, connection=source, slug=source.slug, scheme="stripe", secret=source.secret
    )

    with pytest.raises(Undecryptable):
        reveal(endpoint)


def test_a_secret_stored_before_rows_were_bound_is_read_and_bound_when_it_is_saved(connections):
    row = connections[0]
    Connection.objects.filter(pk=row.pk).update(secret=encrypt("sk_old"))
    row.refresh_from_db()
    assert reveal(row) == "sk_old"

    row.save()
    Connection.objects.filter(pk=connections[1].pk).update(secret=row.secret)

    with pytest.raises(Undecryptable):
        reveal(Connection.objects.get(pk=connections[1].pk))


def test_keys_are_rotated_none_lost_and_none_left_under_the_old_one(connections, keys, settings, capsys):
    settings.FIELD_KEYS = keys
    assert [opinion.verdict for opinion in ground.secrets_can_be_read()] == [Verdict.GOOD, Verdict.NOTE]

    call_command("rotate_keys")

    assert f"{MANY} secrets were stored under the newest key" in capsys.readouterr().out
    settings.FIELD_KEYS = keys[:1]
    assert [reveal(each) for each in Connection.objects.order_by("pk")] == [f"{CANARY}{n}" for n in range(MANY)]
    assert all(is_current(each.secret) for each in Connection.objects.all())
    assert [opinion.verdict for opinion in ground.secrets_can_be_read()] == [Verdict.GOOD]
    entry = Entry.objects.get(verb="integrations.keys.rotated")
    assert entry.after == {"of": "connections", "secrets": MANY}
    call_command("rotate_keys")
    assert "0 secrets were stored" in capsys.readouterr().out


def test_a_secret_that_no_key_opens_is_named_and_the_others_are_renewed(connections, keys, settings):
    lost = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    Connection.objects.filter(pk=connections[3].pk).update(secret=lost)
    settings.FIELD_KEYS = keys

    with pytest.raises(CommandError, match="secret of connection System 3") as failed:
        call_command("rotate_keys")

    assert "No key opens 1 more" in str(failed.value)
    settings.FIELD_KEYS = keys[:1]
    assert sum(bool(decrypt(each.secret)) for each in Connection.objects.exclude(pk=connections[3].pk)) == MANY - 1
    assert Connection.objects.get(pk=connections[3].pk).secret == lost


def test_what_keeps_secrets_is_bound_to_its_row():
    loose = [
        f"{model._meta.label}.{name}"
        for model, names in secrets.kept()
        for name in names
        if not model._meta.get_field(name).bound_to
    ]
    assert not loose, f"name what tells their rows apart: {loose}"
