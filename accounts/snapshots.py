"""A row as the audit log keeps it: plain values, people by number, secrets and personal data by the fact of change."""

import json
from collections.abc import Collection
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from accounts.models import Person, User

WITHHELD = "not kept here"
Snapshot = dict[str, Any]


def snapshot(row: models.Model, *, children: Collection[str] = ()) -> Snapshot:
    """Every field of a row, its many-to-many sets, and the rows under the named accessors."""
    found = {field.name: _plain(row, field) for field in row._meta.concrete_fields if not field.primary_key}
    found |= _sets(row)
    for accessor in children:
        own = getattr(row, accessor).all()
        found |= {f"{child._meta.verbose_name} {child.pk}": _child(child, row) for child in own}
    return found


def _child(child: models.Model, parent: models.Model) -> Snapshot:
    fields = [field for field in child._meta.concrete_fields if field.related_model is not type(parent)]
    found = {field.name: _plain(child, field) for field in fields if not field.primary_key}
    return found | _sets(child)


def _sets(row: models.Model) -> Snapshot:
    return {
        relation.name: sorted(map(_named, getattr(row, relation.name).all())) for relation in row._meta.many_to_many
    }


def _plain(row: models.Model, field: models.Field) -> Any:
    value = getattr(row, field.name)
    if isinstance(value, models.Model):
        return _named(value)
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def _named(row: models.Model) -> str:
    """Rows by their words, people by number: erasing a name must not touch what was recorded."""
    return f"{row._meta.verbose_name} {row.pk}" if isinstance(row, User | Person) else str(row)


def difference(before: Snapshot, after: Snapshot, *, withheld: Collection[str] = ()) -> tuple[Snapshot, Snapshot]:
    """What differs, as it was and as it is; of withheld names only that they differ."""
    was: Snapshot = {}
    now: Snapshot = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in withheld:
            was[name], now[name] = WITHHELD, f"{WITHHELD}, changed"
        elif isinstance(old, dict) and isinstance(new, dict):
            was[name], now[name] = difference(old, new)
        else:
            was |= {name: old} if name in before else {}
            now |= {name: new} if name in after else {}
    return was, now
