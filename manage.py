#!/usr/bin/env python3
"""The command line of the desk."""

import os
import sys
import uuid

# They change tables, or what was written down: on the embedded database only the owner may, all else runs as the desk.
NEED_THE_OWNER = ("migrate", "prepare", "erase", "backup", "restore")


def main() -> None:
    """Run one command; what keeps the desk from starting at all is said in one sentence."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older one is told
        sys.exit("opsdesk needs Python 3.11 or newer, this is {}.{}.{}.".format(*sys.version_info[:3]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsdesk.settings")
    if sys.argv[1:2] and sys.argv[1] in NEED_THE_OWNER:
        os.environ.setdefault("OPSDESK_AS_OWNER", "1")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from structlog.contextvars import bind_contextvars
    except ImportError:
        sys.exit("Django is not installed for this Python: `make run` installs all it takes and starts the desk.")
    # What a command changes is told as its own.
    bind_contextvars(command=" ".join(sys.argv[1:2]), command_id=str(uuid.uuid4()))
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as odd_value:
        sys.exit(f"The settings are not right: {odd_value}")


if __name__ == "__main__":
    main()
