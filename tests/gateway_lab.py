# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What conformance, bench and client tests share: pinned tools in `.cache`, programs on loopback.

Only the standard library: the Makefile starts these tests with any Python of 3.11 or later.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
GATEWAY = ROOT / "roles/gateway/files/mcp_gateway"


class LabError(Exception):
    """Something the tests need could not be had or did not start."""


class Unreachable(LabError):
    """A package mirror did not give what is pinned."""


# --- pinned tools ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _made_once(name: str, sources: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield the directory for exactly these sources, and whether it is complete.

    Two runs at the same time wait for each other; a directory for other sources is removed.
    """
    parts = [path.read_bytes() for path in sources] + [sys.version.encode()]
    directory = CACHE / f"{name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_complete = (directory / "complete").is_file()
        if not is_complete:
            for stale in CACHE.glob(f"{name}-{'[0-9a-f]' * 12}"):
                shutil.rmtree(stale)
            directory.mkdir()
        yield directory, is_complete
        (directory / "complete").touch()


def _install(command: Sequence[str | Path], **options) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=900, **options
    )
    if "EUSAGE" in done.stderr:  # npm: the lock file and package.json contradict each other
        raise LabError(f"{options.get('cwd')}: {done.stderr[-800:]}")
    if done.returncode != 0:
        raise Unreachable(
            f"{' '.join(map(str, command[:4]))} ... ended with {done.returncode}: "
            f"{(done.stderr or done.stdout)[-800:]}\n"
            "It must reach a mirror of PyPI, npm or Maven Central: see PIP_INDEX_URL, "
            "npm_config_registry, ~/.m2/settings.xml."
        )


def python_environment(name: str, requirements: Path) -> Path:
    """Return the Python of an environment with exactly these requirements."""
    with _made_once(name, [requirements]) as (directory, is_complete):
        python = directory / "bin" / "python"
        if not is_complete:
            _install([sys.executable, "-m", "venv", directory])
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _install([*pip, "-r", requirements])
    return python


def node_packages(name: str, lock: Path) -> Path:
    """Return the `node_modules` that a lock file (and the package.json beside it) describe.

    Install scripts do not run; who needs one calls it by name. A lock is renewed with
    `npm install --package-lock-only --ignore-scripts`, then loses `resolved` and `funding`.
    """
    with _made_once(name, [lock, lock.with_name("package.json")]) as (directory, is_complete):
        if not is_complete:
            if shutil.which("npm") is None:
                raise Unreachable("npm was not found on PATH; install Node.js with npm")
            for source in (lock, lock.with_name("package.json")):
                shutil.copy(source, directory)
            npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
            _install(npm, cwd=directory)
    return directory / "node_modules"


def source_archive(name: str, requirement: str) -> Path:
    """Return the unpacked source distribution of a pinned requirement (`NAME==VERSION`)."""
    project, _, version = requirement.partition("==")
    directory = CACHE / f"{name}-{project}-{version}"
    if not (directory / "complete").is_file():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as where:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", where]
            _install([*pip, "--no-binary", project, requirement])
            [archive] = Path(where).glob("*.tar.gz")
            # Debian 12's Python cannot filter yet.
            filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            shutil.unpack_archive(archive, directory, **filtered)
        (directory / "complete").touch()
    [unpacked] = [path for path in directory.iterdir() if path.is_dir()]
    return unpacked


def maven_archive(name: str, pom: Path, prepare: Callable[[Path], None]) -> Path:
    """Return where the zip that a pom.xml names is unpacked, if it has the SHA-256 of the pom.xml.

    prepare() is given that directory, once, and finishes what is in it.
    """
    with _made_once(name, [pom]) as (directory, is_complete):
        if not is_complete:
            for program in ("mvn", "java"):
                if shutil.which(program) is None:
                    raise Unreachable(f"{program} was not found on PATH; install Java and Maven")
            maven = ["mvn", "--batch-mode", "--quiet", "--file", pom]
            _install([*maven, "dependency:copy", f"-DoutputDirectory={directory}"])
            [archive] = directory.glob("*.zip")
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            expected = ET.parse(pom).findtext(".//{*}sha256")
            if found != expected:
                raise LabError(f"{archive.name} has the SHA-256 {found}, expected {expected}")
            shutil.unpack_archive(archive, directory)
            archive.unlink()
            prepare(directory)
    return directory


def gateway_python() -> Path:
    """Return a Python with what the gateway's lock file says; its source comes by PYTHONPATH."""
    return python_environment("bench-gateway", GATEWAY / "requirements.lock")


# --- programs on loopback -------------------------------------------------------------------------


def free_port() -> int:
    """Return a loopback port nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """A started program: its process group, its log, and how to wait for its port."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The first process's id."""
        return self.process.pid

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_for_port(self, port: int, address: str = "127.0.0.1", seconds: float = 60) -> None:
        """Wait until the port accepts a connection."""
        what = f"port {port} to accept a connection"
        self.wait_until(lambda: _accepts(port, address), what, seconds)

    def wait_until(self, is_so, what: str, seconds: float = 60) -> None:
        """Wait until a condition holds; say what was waited for when it does not."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if self.process.poll() is not None:
                raise LabError(
                    f"{self.command[0]} ended with {self.process.returncode} while waiting for "
                    f"{what}; its log ends:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise LabError(f"waited {seconds} s for {what}; the log ends:\n{self.tail()}")
            time.sleep(0.05)  # a port tells nobody when it opens

    def stop(self) -> None:
        """End the program and what it started."""
        for signal_number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal_number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # children that outlived it


def _accepts(port: int, address: str) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0


def get_json(url: str, headers: Mapping[str, str] | None = None):
    """Return a JSON answer, or None for any HTTP error or refused connection."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except (urllib.error.URLError, ConnectionError, ValueError):
        return None


class Lab:
    """Programs that end together, with their logs and files in one temporary directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._programs: list[Program] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        while self._programs:
            self._programs.pop().stop()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Program:
        """Start a program and wait for its port."""
        program = Program(command, self.directory / f"{name}.log", environment, cwd)
        self._programs.append(program)
        if port is not None:
            program.wait_for_port(port)
        return program

    def stop(self, program: Program) -> None:
        """End one program early."""
        self._programs.remove(program)
        program.stop()

    def gateway(self, configuration: dict, name: str = "gateway", seconds: float = 60) -> Program:
        """Start our gateway with this configuration and wait until it is ready.

        JSON is YAML, so the configuration file needs no library here.
        """
        port = configuration["listen"]["port"]
        file = self.directory / f"{name}.yml"
        file.write_text(json.dumps(configuration, indent=2))
        command = [gateway_python(), "-m", "mcp_gateway", "--config", file]
        program = self.start(name, command, port, {"PYTHONPATH": str(GATEWAY / "src")})
        program.wait_until(
            lambda: _is_ready(port), f"http://127.0.0.1:{port}/ready to answer 200", seconds
        )
        return program


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
