"""Put locked packages into the virtual environment: `python3 requirements/install.py base dev browser`.

Each lock named holds everything of those before it, so the last one is installed. What is installed is
remembered, so the next call is quick. Nothing is ever uninstalled.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or HERE.parent / ".venv").absolute()
PYTHON = VENV / "bin" / "python"
MEGABYTES_NEEDED = {"base": 400, "dev": 700, "browser": 1000}


def main(names: list[str]) -> None:
    """Make the environment if there is none, and install what is not yet in it."""
    with Path(__file__).open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two makes at once wait for each other
        stamps = [_stamp_of(name) for name in names]
        if all(stamp.exists() for stamp in stamps) and _works():
            return
        needed = MEGABYTES_NEEDED.get(names[-1], 700)
        free = shutil.disk_usage(VENV.parent).free // 1024**2
        if free < needed:
            sys.exit(f"{VENV.parent} has too little space left: {free} MB, the packages need {needed} MB.")
        if not _works():
            _make_environment()
        _install(names[-1])
        for stamp in stamps:
            stamp.touch()


def _stamp_of(name: str) -> Path:
    """The file that says this very lock is installed."""
    lock = (HERE / f"{name}.txt").read_bytes()
    return VENV / f".installed-{name}-{hashlib.sha256(lock).hexdigest()[:12]}"


def _works() -> bool:
    """Whether the environment is there and its Python is fit to install and to run the desk."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return PYTHON.exists() and subprocess.call([PYTHON, "-c", check], stderr=subprocess.DEVNULL) == 0


def _make_environment() -> None:
    try:
        import ensurepip  # noqa: F401 - Debian leaves it out together with venv
        import venv
    except ImportError:
        sys.exit("Python's venv module is missing: on Debian and Ubuntu `apt-get install python3-venv` brings it.")
    _say(f"making {VENV}")
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"The environment {VENV} could not be made: {problem}.")


def _install(name: str) -> None:
    """Let pip install the lock, hashes checked; where from is the machine's own configuration."""
    lock = f"requirements/{name}.txt"
    _say(f"installing the packages of {lock}")
    pip = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "-qq",  # only errors: remarks on the machine's own configuration are not ours
        "--disable-pip-version-check",
        "--require-hashes",
        "--no-deps",
    ]
    if subprocess.call([*pip, "--requirement", HERE.parent / lock], stdout=sys.stderr) != 0:
        sys.exit(f"The packages of {lock} could not be installed; pip says why above.")


def _say(line: str) -> None:
    """Tell the person at the terminal; standard output belongs to the command that follows."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
