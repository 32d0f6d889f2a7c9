"""The triggers beneath the services: each statement that changes tracked rows leaves a row a changed row.

They are made from the list in `tracking.py` after every migration. One function a table, run once a statement over its
transition tables. At the end of a transaction of which no service told, one more trigger writes the entry.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections

from auditlog.tracking import Tracked, organization_of, tracked

EVENTS = {
    "insert": "INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "update": "UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
    "truncate": "TRUNCATE ON {table}",
}
WITHHELD = "not kept here"
_UNTOLD = "auditlog_tell_untold"

# Whoever is not told by the desk's own processes is named by what the database knows of them.
_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $note$
DECLARE
    who jsonb := nullif(current_setting('opsdesk.who', true), '')::jsonb;
    said text := coalesce(who->>'actor', format('database user %s, application_name %s', session_user,
        coalesce(nullif(current_setting('application_name'), ''), 'none')));
    click text := coalesce(who->>'request', 'transaction ' || pg_current_xact_id()::text);
    person bigint := (who->>'user')::bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO auditlog_change ({columns})
        SELECT {organization}, '{kind}', r.{key}, 'insert', '{{}}', {kept}, said, person, click, session_user
        FROM new_rows r;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO auditlog_change ({columns})
        SELECT {organization}, '{kind}', r.{key}, 'update', d.was, d.becomes, said, person, click, session_user
        FROM old_rows o JOIN new_rows r ON o.{key} = r.{key}, LATERAL (
            SELECT jsonb_object_agg(a.key, {was}) AS was, jsonb_object_agg(a.key, {becomes}) AS becomes
            FROM jsonb_each(to_jsonb(o) {passing}) a JOIN jsonb_each(to_jsonb(r) {passing}) b USING (key)
            WHERE a.value IS DISTINCT FROM b.value) d
        WHERE d.was IS NOT NULL;
        INSERT INTO auditlog_change ({columns})
        SELECT {organization}, '{kind}', r.{key}, 'delete', {kept}, '{{}}', said, person, click, session_user
        FROM old_rows r WHERE NOT EXISTS (SELECT FROM new_rows n WHERE n.{key} = r.{key});
        INSERT INTO auditlog_change ({columns})
        SELECT {organization}, '{kind}', r.{key}, 'insert', '{{}}', {kept}, said, person, click, session_user
        FROM new_rows r WHERE NOT EXISTS (SELECT FROM old_rows o WHERE o.{key} = r.{key});
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO auditlog_change ({columns})
        SELECT {organization}, '{kind}', r.{key}, 'delete', {kept}, '{{}}', said, person, click, session_user
        FROM old_rows r;
    ELSE
        INSERT INTO auditlog_change ({columns})
        VALUES (NULL, '{kind}', 0, 'truncate', '{{}}', '{{}}', said, person, click, session_user);
    END IF;
    RETURN NULL;
END
$note$
"""
_COLUMNS = "organization_id, kind, row_id, operation, before, after, actor, user_id, request_id, database_user"

# Deferred: it runs when the transaction commits, once everything is there that services tell.
_TELL = f"""
CREATE OR REPLACE FUNCTION {_UNTOLD}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $tell$
DECLARE
    this bigint := pg_current_xact_id()::text::bigint;
    words text;
    rows_changed bigint;
    name text;
BEGIN
    IF NEW.organization_id IS NULL
        OR current_setting('opsdesk.told', true) = this || ' ' || NEW.organization_id THEN RETURN NULL; END IF;
    PERFORM set_config('opsdesk.told', this || ' ' || NEW.organization_id, true);
    IF NOT EXISTS (SELECT FROM accounts_organization o WHERE o.id = NEW.organization_id) THEN RETURN NULL; END IF;
    IF EXISTS (SELECT FROM auditlog_entry e WHERE e.organization_id = NEW.organization_id
        AND e.at >= now() AND e.transaction = this) THEN RETURN NULL; END IF;
    SELECT string_agg(each.words, ', ' ORDER BY each.words), sum(each.count) INTO words, rows_changed
    FROM (SELECT format('%s %s of %s', count(*), c.operation, c.kind) AS words, count(*) AS count
        FROM auditlog_change c WHERE c.transaction = this AND c.at >= now()
        AND c.organization_id = NEW.organization_id GROUP BY c.operation, c.kind) each;
    SELECT coalesce(nullif(trim(u.first_name || ' ' || u.last_name), ''), u.username) INTO name
    FROM accounts_user u WHERE u.id = NEW.user_id;
    INSERT INTO auditlog_entry (organization_id, actor_kind, actor, user_id, verb, subject_kind, subject_id,
        before, after, reason, request_id)
    VALUES (NEW.organization_id, CASE WHEN name IS NULL THEN 'system' ELSE 'person' END,
        left(coalesce(name, NEW.actor), 120), CASE WHEN name IS NULL THEN NULL ELSE NEW.user_id END,
        'auditlog.rows.changed', NEW.kind, NEW.row_id,
        CASE WHEN rows_changed = 1 THEN NEW.before ELSE '{{}}' END,
        CASE WHEN rows_changed = 1 THEN NEW.after ELSE jsonb_build_object('rows', rows_changed) END,
        format('Nobody said why. Seen by the database: %s, by %s.', words, NEW.actor), NEW.request_id);
    RETURN NULL;
END
$tell$
"""  # noqa: S608 - names of our own tables


def function_of(each: Tracked) -> str:
    """The name of the function that takes down what changes in a table."""
    return f"auditlog_note_{each.model._meta.db_table}"


def _body(each: Tracked) -> str:
    mark, marked = (f"'\"{words}\"'::jsonb" for words in (WITHHELD, f"{WITHHELD}, changed"))
    hidden = f"a.key = ANY({_array(each.withheld)})"
    marks = ", ".join(f"'{name}', '{WITHHELD}'" for name in each.withheld)
    return _FUNCTION.format(
        name=function_of(each),
        columns=_COLUMNS,
        organization=organization_of(each),
        kind=each.model._meta.model_name[:30],
        key=each.model._meta.pk.column,
        kept=f"jsonb_strip_nulls(to_jsonb(r) - {_array([*each.withheld, *each.passing])})"
        + (f" || jsonb_build_object({marks})" if marks else ""),
        passing=f"- {_array(each.passing)}",
        was=f"CASE WHEN {hidden} THEN {mark} ELSE a.value END" if marks else "a.value",
        becomes=f"CASE WHEN {hidden} THEN {marked} ELSE b.value END" if marks else "b.value",
    )


def _array(names: Sequence[str]) -> str:
    return f"""'{{{",".join(names)}}}'::text[]"""


def _wanted() -> Iterator[tuple[str, str]]:
    """Each function with the statements that make it."""
    bodies = {function_of(each): _body(each) for each in tracked()} | {_UNTOLD: _TELL}
    for name, body in bodies.items():
        # Else somebody could have a table of their own take down what never happened.
        yield name, f"{body}; REVOKE ALL ON FUNCTION {name}() FROM PUBLIC"


def _triggers() -> Iterator[tuple[str, str, str]]:
    """Table, trigger and the statement that makes it."""
    for each in tracked():
        table = each.model._meta.db_table
        for event, words in EVENTS.items():
            name = f"auditlog_note_{event}"
            does = f"FOR EACH STATEMENT EXECUTE FUNCTION {function_of(each)}()"
            yield table, name, f"CREATE TRIGGER {name} AFTER {words.format(table=table)} {does}"
    does = f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {_UNTOLD}()"
    yield "auditlog_change", _UNTOLD, f"CREATE CONSTRAINT TRIGGER {_UNTOLD} AFTER INSERT ON auditlog_change {does}"


def install(using: str = "default") -> int:
    """Make what is missing or different, as the owner of the tables; returns how much that was."""
    made = 0
    functions, triggers = _present(using)
    with connections[using].cursor() as cursor:
        for name, statement in _wanted():
            mark = hashlib.sha256(statement.encode()).hexdigest()
            if functions.get(name) != mark:
                cursor.execute(statement)
                cursor.execute(f"COMMENT ON FUNCTION {name}() IS '{mark}'")
                made += 1
        for table, name, statement in _triggers():
            if not triggers.get((table, name)):
                switch = f"ALTER TABLE {table} ENABLE TRIGGER {name}"
                cursor.execute(switch if (table, name) in triggers else statement)
                made += 1
    return made


def missing(using: str = "default") -> list[str]:
    """What of it is not in the database, is switched off, or is not what this code would make; for the doctor."""
    functions, triggers = _present(using)
    wrong = [name for name, body in _wanted() if functions.get(name) != hashlib.sha256(body.encode()).hexdigest()]
    return wrong + [f"{name} on {table}" for table, name, _ in _triggers() if not triggers.get((table, name))]


def _present(using: str) -> tuple[dict[str, str], dict[tuple[str, str], bool]]:
    """Functions with the mark of their statement; triggers by table and name, and whether they are on."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc"
            " WHERE starts_with(proname, 'auditlog_') AND pronamespace = 'public'::regnamespace"
        )
        functions = dict(cursor.fetchall())
        cursor.execute(
            "SELECT relname, tgname, tgenabled <> 'D' FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid"
            " WHERE starts_with(tgname, 'auditlog_') AND relnamespace = 'public'::regnamespace"
        )
        return functions, {(table, name): on for table, name, on in cursor.fetchall()}


def install_after_migrating(using: str = "default", **kwargs: Any) -> None:
    """Follows every `migrate`, once all tables of the list are there: a migration to an older state leaves some out."""
    tables = set(connections[using].introspection.table_names())
    wanted = {each.model._meta.db_table for each in tracked()} | {"auditlog_entry", "auditlog_change"}
    if wanted <= tables:
        install(using)
