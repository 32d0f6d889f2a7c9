"""What works for long does not grow. Long test."""

import json
import os
import subprocess
import sys

import pytest
from django.db import connection

from opsdesk.embedded.addresses import ROOT

pytestmark = pytest.mark.long
WARM_UP, TASKS = 200, 1_000
# A thousand looks may cost so many megabytes.
A_THOUSAND_TASKS = 1.0
# What the allocator keeps or gives back between two looks at it, whatever was done.
NOISE = 3.0


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_not_grow_with_the_runs_it_moves_and_the_ones_that_break() -> None:
    command = [sys.executable, "-m", "tests.chaos.growing", str(connection.settings_dict["NAME"])]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "opsdesk.settings", "OPSDESK_LOG_LEVEL": "CRITICAL"}

    found = subprocess.run(
        [*command, str(WARM_UP), str(TASKS)],
        cwd=ROOT, env={**environment, "BROKER_URL": "memory://"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found.returncode == 0, found.stderr[-3_000:]
    said = json.loads(found.stdout.splitlines()[-1])
    print(said)
    assert said["failed"] * 9 == pytest.approx(said["succeeded"], rel=0.01)
    assert said["after"] - said["before"] < A_THOUSAND_TASKS * TASKS / 1000 + NOISE
