"""Storing secrets under the newest key: what `manage.py rotate_keys` does."""

from collections import Counter
from dataclasses import dataclass, field

from django.db import models, transaction

from auditlog.services import Actor, record
from integrations.secrets import Undecryptable, kept, renewed

_BATCH = 200


@dataclass
class Renewal:
    """What came of it: how many secrets were stored anew, and which no key opens."""

    done: int = 0
    closed: list[str] = field(default_factory=list)


def renew_all() -> Renewal:
    """Store every secret that is under an older key, or not bound to its row, anew; safe to call again at any point."""
    renewal = Renewal()
    for model, names in kept():
        keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(keys), _BATCH):
            _renew(model, names, keys[start : start + _BATCH], renewal)
    return renewal


@transaction.atomic
def _renew(model: type[models.Model], names: list[str], keys: list[int], renewal: Renewal) -> None:
    """One batch, locked so that nobody's new secret is overwritten by an old one."""
    changed: Counter[int] = Counter()
    for row in model._default_manager.select_for_update().filter(pk__in=keys):
        fresh = {}
        for name in names:
            try:
                cipher = renewed(row, name)
            except Undecryptable:
                renewal.closed.append(f"{name} of {row._meta.verbose_name} {row}")
                continue
            if cipher:
                fresh[name] = cipher
        if fresh:
            model._default_manager.filter(pk=row.pk).update(**fresh)
            renewal.done += len(fresh)
            changed[getattr(row, "organization_id", 0)] += len(fresh)
    for organization_id, count in changed.items():
        if organization_id:
            record(
                "integrations.keys.rotated",
                actor=Actor.desk("rotate_keys"),
                organization_id=organization_id,
                subject=("accounts.organization", organization_id),
                reason="The keys were rotated.",
                after={"of": str(model._meta.verbose_name_plural), "secrets": count},
            )
