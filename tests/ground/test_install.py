import os
import subprocess
import sys
from pathlib import Path

import pytest

from opsdesk.embedded.addresses import ROOT

OLD_PYTHON = """#!/bin/sh
# A Python that says it is 3.9 when it is asked with -c.
shift
exec {python} -c "import sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (old)'; exec(sys.argv[1])" "$@"
"""


def make(*arguments, **environment):
    return subprocess.run(
        ["make", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_old_python_is_told_in_one_sentence(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text(OLD_PYTHON.format(python=sys.executable))
    old.chmod(0o755)

    outcome = make(f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")

    assert outcome.returncode != 0
    assert outcome.stderr.splitlines()[0] == (
        "opsdesk needs Python 3.11 or newer, this is 3.9.2: name another, as in make run PYTHON=python3.12"
    )
    assert not (tmp_path / "venv").exists()


def test_a_missing_venv_module_names_debians_package(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")

    outcome = make(f"PYTHON={sys.executable}", f"VENV={tmp_path / 'venv'}", PYTHONPATH=str(tmp_path))

    assert outcome.returncode != 0
    assert "apt-get install python3-venv" in outcome.stderr.splitlines()[0]
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda lock: lock.name)
def test_a_lock_names_no_host_and_hashes_everything(lock: Path):
    text = lock.read_text()
    pins = [line for line in text.splitlines() if "==" in line.split(";")[0] and not line.startswith(("#", " "))]

    assert "://" not in text
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize(("upper", "lower"), [("dev", "base"), ("browser", "dev")])
def test_a_lock_holds_all_of_the_one_before_it(upper, lower):
    pinned = {
        name: {
            line.split(" \\")[0]
            for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
            if "==" in line and not line.startswith((" ", "#"))
        }
        for name in (upper, lower)
    }

    assert pinned[lower] < pinned[upper]
