"""What the desk stands on: its settings, its keys, its files, its disk."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from integrations.secrets import Undecryptable, kept, renewed
from opsdesk.embedded.addresses import places
from opsdesk.watch.doctor.opinions import Opinion, good, noted, wrong

GIGABYTE = 1024**3
LEAST_FREE, LEAST_SHARE = 2 * GIGABYTE, 0.1
SHORTEST_KEY = 50


def settings_are_safe() -> Iterator[Opinion]:
    """Settings with which a desk must not face the world."""
    if not settings.PRODUCTION:
        yield noted(
            "The settings are those of a laptop: default secrets, plain HTTP, the demonstration.",
            "For a desk that a team depends on set OPSDESK_PRODUCTION=1; docs/deploy.md lists what it asks for.",
        )
        return
    found = list(_dangers())
    yield from found or [good("The settings are those of production, and none of them is dangerous.")]


def _dangers() -> Iterator[Opinion]:
    if settings.DEBUG:
        yield wrong("DEBUG is on: error pages show settings and data.", "Set DEBUG to False.")
    if len(settings.SECRET_KEY) < SHORTEST_KEY:
        yield wrong(
            f"OPSDESK_SECRET_KEY has {len(settings.SECRET_KEY)} characters.", "Make a new one; deploy.md says how."
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield wrong("OPSDESK_ALLOWED_HOSTS admits every host name.", "Name the host of the desk.")
    if not settings.BASE_URL.startswith("https://"):
        yield wrong(f"Mails link to {settings.BASE_URL}, which is not https.", "Set OPSDESK_BASE_URL.")
    if not (settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE):
        yield wrong("Cookies travel over plain HTTP.", "Set SESSION_COOKIE_SECURE and CSRF_COOKIE_SECURE.")
    if any(not network.prefixlen for network in settings.METRICS_ALLOWED):
        yield wrong("/metrics answers everybody.", "Name networks in OPSDESK_METRICS_ALLOWED, or use a token.")
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 20:
        yield wrong("OPSDESK_METRICS_TOKEN is short enough to be guessed.", "Use 20 random characters or more.")
    if settings.OUTBOUND_EXCEPTIONS:
        listed = ", ".join(settings.OUTBOUND_EXCEPTIONS)
        yield noted(f"Connections may call inside your network: {listed}.", "Keep only what is needed.")


def secrets_can_be_read() -> Iterator[Opinion]:
    """Whether the keys open every stored secret, and whether the newest key alone would do."""
    looked, older, closed = 0, 0, []
    for row, names in ((row, names) for model, names in kept() for row in model._default_manager.all()):
        looked += 1
        try:
            older += any(renewed(row, name) for name in names)
        except Undecryptable:
            closed.append(f"{row._meta.verbose_name} {row}")
    if closed:
        yield wrong(
            f"The keys open {looked - len(closed)} of {looked} stored secrets; not those of {', '.join(closed[:10])}.",
            "Bring back the key they were saved under (OPSDESK_FIELD_KEYS takes several), or enter them anew.",
        )
        return
    yield good(f"The keys open all {looked} stored secrets.")
    if older and len(settings.FIELD_KEYS) > 1:
        yield noted(
            f"{older} of {looked} stored secrets are not under the newest key.",
            "Run manage.py rotate_keys before an older key is taken out of OPSDESK_FIELD_KEYS.",
        )


def static_files_are_there() -> Iterator[Opinion]:
    """Whether what the pages ask for has been collected."""
    root, advice = Path(settings.STATIC_ROOT), "Run manage.py prepare (or collectstatic --noinput) on this machine."
    if "Manifest" not in settings.STORAGES["staticfiles"]["BACKEND"]:
        yield noted("Static files are served as they are, without a manifest.")
        return
    try:
        listed = json.loads((root / "staticfiles.json").read_text())["paths"]
    except (OSError, ValueError, KeyError):
        yield wrong(f"There are no collected static files in {root}: every page would fail.", advice)
        return
    missing = [name for name in listed.values() if not (root / name).exists()]
    if missing:
        yield wrong(f"{len(missing)} of {len(listed)} static files are missing, {missing[0]} among them.", advice)
    else:
        yield good(f"All {len(listed)} static files are there.")


def space_is_left() -> Iterator[Opinion]:
    """Whether the disks of this machine have room."""
    folders = {Path(settings.VAR_DIR), places().base}
    for folder in sorted(folder for folder in folders if folder.exists()):
        usage = shutil.disk_usage(folder)
        words = f"{usage.free / GIGABYTE:.1f} GB of {usage.total / GIGABYTE:.1f} GB are free at {folder}"
        if usage.free < LEAST_FREE or usage.free < LEAST_SHARE * usage.total:
            yield wrong(f"Only {words}.", "Make room before it is full: then nothing is taken in any more.")
        else:
            yield good(f"{words}.")
