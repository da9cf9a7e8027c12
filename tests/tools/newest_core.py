#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command with the newest ansible-core: `newest_core.py ansible-playbook ...`.

Its environment is made once under .cache, with PYTHON_NEWEST, python3.13 or one of pyenv's.
Exits with 77 and says why where there is no such Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements-newest.txt"
WANTED = "3.13"
SKIPPED = 77


def version_of(python: str) -> str:
    """Return `major.minor` of an interpreter, or nothing when it is none."""
    command = [python, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def find_python() -> str | None:
    """Return the first Python of the wanted version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [os.environ.get("PYTHON_NEWEST"), shutil.which(f"python{WANTED}")]
    candidates += [str(path) for path in sorted(pyenv.glob(f"{WANTED}*/bin/python"), reverse=True)]
    return next((c for c in candidates if c and version_of(c) == WANTED), None)


def environment() -> Path | None:
    """Return the directory of the environment, made when its requirements are new."""
    python = find_python()
    if python is None:
        return None
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + python.encode()).hexdigest()[:12]
    venv = ROOT / ".cache" / f"newest-venv-{digest}"
    with (venv.parent / "newest-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another lane may make it
        if not (venv / "complete").is_file():
            make(venv, python)
    return venv


def make(venv: Path, python: str) -> None:
    """Make the environment; others of its kind are older."""
    for stale in venv.parent.glob("newest-venv-*"):
        shutil.rmtree(stale)
    subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "-r", REQUIREMENTS], check=True)
    (venv / "complete").touch()


def main() -> int:
    """Run the command, or say why it cannot run."""
    venv = environment()
    if venv is None:
        print(
            f"skipped: found no Python {WANTED} with venv; expected python{WANTED} on PATH, one of "
            "pyenv's, or its path in PYTHON_NEWEST"
        )
        return SKIPPED
    variables = {**os.environ, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    variables.pop("VIRTUAL_ENV", None)
    command = [str(venv / "bin" / sys.argv[1]), *sys.argv[2:]]
    return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
