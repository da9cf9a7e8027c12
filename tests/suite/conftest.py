# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stages of `make test` that are programs of their own: each test runs one and shows its output."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
sys.path.insert(0, str(ROOT / "tests/tools"))

import install_artifact  # noqa: E402
import suite_plan  # noqa: E402


def run_bounded(command, timeout, **options):
    """Run a command in a process group of its own, so that a timeout ends all of it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return f"no end after {timeout} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture
def run(capfd):
    """Return a function that runs a command, shows its output live and fails with its status."""

    def runner(*command, timeout=300, cwd=ROOT, skip_status=None, skip_reason="", **environment):
        command = [str(part) for part in command]
        with capfd.disabled():
            print(f"\n$ {' '.join(command)}", flush=True)
            started = time.monotonic()
            status = run_bounded(command, timeout, cwd=cwd, env={**os.environ, **environment})
            print(f"({time.monotonic() - started:.1f} s)", flush=True)
        if skip_status is not None and status == skip_status:
            pytest.skip(skip_reason)
        if status != 0:
            pytest.fail(f"{command[0]} ended with {status}; its output is above", pytrace=False)

    return runner


@pytest.fixture(scope="session")
def root():
    """Return the repository's directory."""
    return ROOT


@pytest.fixture
def inner_report():
    """Return pytest's options by which the tests of a program are like the suite's other tests."""

    def options(name):
        reports = os.environ.get("TEST_REPORTS")
        if not reports:
            return []
        again = suite_plan.second_attempts(int(os.environ.get("TEST_SECOND_ATTEMPTS", "0")))
        return [f"--junitxml={Path(reports) / name}.xml", *again]

    return options


@pytest.fixture(scope="session")
def repository_files():
    """Return the paths of the repository's files: tracked, or new and not ignored."""
    return install_artifact.repository_files()


class Installed(NamedTuple):
    """Where the built collection was installed, and what Ansible must be told to find it."""

    directory: Path
    environment: dict[str, str]


@pytest.fixture(scope="session")
def installed(repository_files, tmp_path_factory):
    """Build the collection from the repository's files alone and install it in an empty place.

    That place lies outside the repository: ansible-test would take its ignore rules for its own.
    """
    base = tmp_path_factory.mktemp("artifact")
    environment = install_artifact.install(base) | {"ANSIBLE_HOME": str(base / "home")}
    directory = base / "collections" / "ansible_collections" / "intranet" / "mcp"
    return Installed(directory, environment)


def cached_venv(name, python, sources, *arguments):
    """Return the interpreter of an environment that was made from exactly these sources."""
    parts = [path.read_bytes() for path in sources] + [" ".join(map(str, arguments)).encode()]
    venv = CACHE / f"{name}-venv-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"
    if not (venv / "complete").is_file():
        for stale in CACHE.glob(f"{name}-venv-*"):
            shutil.rmtree(stale)
        subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
        pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *arguments], check=True)
        (venv / "complete").touch()
    return venv / "bin" / "python"


@pytest.fixture(scope="session")
def gateway_python():
    """Return a Python that has what the gateway's lock file says, and its test tools."""
    package = ROOT / "roles/gateway/files/mcp_gateway"
    locks = sorted(package.glob("requirements*.txt"))
    requirements = [argument for lock in locks for argument in ("-r", lock)]
    sources = [package / "pyproject.toml", *locks]
    return cached_venv("gateway", sys.executable, sources, *requirements, f"{package}[test,redis]")


@pytest.fixture(scope="session")
def portal_python():
    """Return a Python that has what the portal and its tests need."""
    package = ROOT / "roles/portal/files/mcp_portal"
    sources = [package / "pyproject.toml", package / "requirements.lock"]
    return cached_venv("portal", sys.executable, sources, f"{package}[test]")
