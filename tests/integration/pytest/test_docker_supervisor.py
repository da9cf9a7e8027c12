# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The supervisor with a real second dockerd on its own socket, data and process files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="dockerd needs root"),
    pytest.mark.skipif(not shutil.which("dockerd"), reason="dockerd is not installed"),
]

PROGRAM = Path(__file__).parents[3] / "roles/docker/files/docker-supervisor"


class Supervisor:
    def __init__(self, home: Path):
        self.home = home
        self.state = home / "state"
        self.log = home / "log"
        own = {
            "-H": f"unix://{home}/docker.sock",
            "--data-root": f"{home}/data",
            "--exec-root": f"{home}/exec",
            "--pidfile": f"{home}/docker.pid",
            "--config-file": f"{home}/daemon.json",
            "--bridge": "none",
        }
        self.environment = {
            **os.environ,
            "DOCKER_SUPERVISOR_SOCKET": f"{home}/docker.sock",
            "DOCKER_SUPERVISOR_STATE": str(self.state),
            "DOCKER_SUPERVISOR_LOG": str(self.log),
            "DOCKER_SUPERVISOR_FIREWALL": f"{home}/none.nft",
            "DOCKER_SUPERVISOR_ARGUMENTS": " ".join(
                ["--iptables=false", *[f"{key} {value}" for key, value in own.items()]]
            ),
        }
        self.configure("{}")

    def configure(self, text: str) -> None:
        (self.home / "daemon.json").write_text(text)

    def run(self, verb: str, **environment) -> subprocess.CompletedProcess:
        # A network namespace of its own: with `--bridge none` dockerd removes the docker0 it finds,
        # which is that of the engine every other test uses.
        return subprocess.run(
            ["unshare", "--net", str(PROGRAM), verb],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def pid(self, name: str) -> int:
        """The process id that the supervisor noted, 0 while it is about to."""
        return int((self.state / f"{name}.pid").read_text() or 0)

    def lives(self, pid: int) -> bool:
        try:
            return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # that of a zombie is empty
        except (FileNotFoundError, ProcessLookupError):
            return False

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < deadline, f"waited 40 s until {what}:\n{self.log.read_text()}"
            time.sleep(0.2)  # polls another process, which sends no event


@pytest.fixture
def supervisor(tmp_path_factory):
    # A socket's path has at most 108 characters, which pytest's own directories may exceed.
    home = Path("/tmp") / f"imcp-{os.getpid()}-{tmp_path_factory.mktemp('s').name}"
    home.mkdir()
    supervisor = Supervisor(home)
    yield supervisor
    supervisor.run("stop")
    # A killed dockerd leaves the mount it had made of its data directory.
    subprocess.run(["umount", "--lazy", "--quiet", f"{home}/data"], check=False)
    shutil.rmtree(home)


def test_a_killed_dockerd_comes_back_and_a_second_start_starts_nothing(supervisor):
    assert supervisor.run("start").stdout.startswith("started")
    first = supervisor.pid("dockerd")
    assert supervisor.run("start").stdout.startswith(f"running: dockerd {first}")
    os.kill(first, signal.SIGKILL)
    supervisor.until(
        lambda: supervisor.pid("dockerd") not in (0, first), "another dockerd was started"
    )
    supervisor.until(lambda: supervisor.run("status").returncode == 0, "it answers")
    assert "exit 137" in supervisor.log.read_text()


def test_a_dockerd_without_supervisor_is_adopted_not_doubled(supervisor):
    supervisor.run("start")
    daemon, old = supervisor.pid("dockerd"), supervisor.pid("supervisor")
    os.kill(old, signal.SIGKILL)
    assert supervisor.run("start").stdout.startswith("adopted")
    supervisor.until(lambda: supervisor.pid("supervisor") != old, "a new supervisor took over")
    assert supervisor.pid("dockerd") == daemon
    assert supervisor.run("stop").stdout == "stopped\n"
    # It was no child of the supervisor that stopped it, so init reaps it in its own time.
    assert not supervisor.lives(daemon)


def test_restart_replaces_the_daemon_and_keeps_the_supervisor(supervisor):
    supervisor.run("start")
    daemon, watcher = supervisor.pid("dockerd"), supervisor.pid("supervisor")
    result = supervisor.run("restart")
    assert result.stdout.startswith("restarted"), result.stderr
    assert supervisor.pid("dockerd") != daemon
    assert supervisor.pid("supervisor") == watcher


def test_a_broken_configuration_fails_soon_with_the_reason_and_heals_by_itself(supervisor):
    supervisor.configure('{"no-such-key": 1}')
    begun = time.monotonic()
    failed = supervisor.run("start")
    assert failed.returncode == 1
    assert "no-such-key" in failed.stderr
    assert time.monotonic() - begun < 30
    supervisor.configure("{}")
    assert supervisor.run("start").returncode == 0
    assert supervisor.run("status").returncode == 0


def test_the_log_is_bounded(supervisor):
    supervisor.environment["DOCKER_SUPERVISOR_LOG_BYTES"] = "2000"
    supervisor.run("start")
    supervisor.until(
        lambda: supervisor.log.with_name("log.1").exists() and supervisor.log.stat().st_size < 2000,
        "the log was rotated",
    )
    assert supervisor.run("status").returncode == 0


@pytest.mark.skipif(not Path("/var/run/docker.sock").exists(), reason="no other daemon runs here")
def test_somebody_elses_daemon_is_used_and_never_stopped(supervisor):
    other = {"DOCKER_SUPERVISOR_SOCKET": "/var/run/docker.sock"}
    assert supervisor.run("start", **other).stdout.startswith("used as is")
    assert supervisor.run("stop", **other).stdout.startswith("left alone")
    assert supervisor.run("status", **other).returncode == 1
