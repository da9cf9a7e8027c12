# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Preflight as a play runs it: one report, and one run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="preflight expects root"),
    pytest.mark.skipif(not PLAYBOOK.exists(), reason="no ansible-playbook beside this Python"),
]

INVENTORY = """
all:
  hosts: {here: {ansible_connection: local, ansible_python_interpreter: "%s"}}
  children:
    gateway: {hosts: {here: {}}}
    litellm: {hosts: {here: {}}}
    postgres: {hosts: {here: {}}}
"""
PLAY = """
- hosts: here
  gather_facts: false
  roles: [intranet.mcp.platform]
  tasks:
    - intranet.mcp.preflight:
        state: "{{ state | default('checked') }}"
        lock_path: "{{ lock }}"
        disk_mb: 1
        memory_mb: "{{ memory | default(1) }}"
        required_groups: [litellm, gateway]
        versions: "{{ versions | default({}) }}"
        secrets_directory: "{{ secrets | default(omit) }}"
        take_over: "{{ take_over | default(false) }}"
        ca_bundle: "{{ bundle | default(omit) }}"
      register: checked
    - ansible.builtin.wait_for: {path: "{{ gate }}", timeout: 60}
      when: gate is defined
    - intranet.mcp.preflight: {state: released, lock_path: "{{ lock }}"}
      when: leave is defined
"""


class Runs:
    def __init__(self, home: Path):
        self.home = home
        self.lock = home / "run" / "lock"
        (home / "hosts.yml").write_text(INVENTORY % sys.executable)
        (home / "play.yml").write_text(PLAY)
        self.started: list[subprocess.Popen] = []

    def start(self, check: bool = False, **variables) -> subprocess.Popen:
        command = [str(PLAYBOOK), "-i", str(self.home / "hosts.yml"), str(self.home / "play.yml")]
        process = subprocess.Popen(
            [
                *command,
                *(["--check"] if check else []),
                "-e",
                json.dumps({"lock": str(self.lock), **variables}),
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, **variables) -> tuple[int, str]:
        process = self.start(**variables)
        out, _ = process.communicate(timeout=90)
        return process.returncode, out

    def holding(self) -> subprocess.Popen:
        """A run that holds the lock until it is ended."""
        process = self.start(gate=str(self.home / "never"))
        deadline = time.monotonic() + 30
        while not (self.lock.exists() and self.lock.read_text()):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, "the first run took no lock within 30 s"
            time.sleep(0.1)  # polls a file, which sends no event
        return process

    def end(self, process: subprocess.Popen) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def runs(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    for process in runs.started:
        runs.end(process)


def test_a_second_run_ends_with_one_message_that_names_the_first(runs):
    first = runs.holding()
    code, out = runs.run()
    assert code != 0
    assert "1 problem found on here" in out
    assert "another run is in progress" in out
    assert f"(process {first.pid})" in out
    assert runs.run(take_over=True)[0] == 0


def test_a_repair_takes_the_same_lock_and_checks_nothing_else(runs):
    broken = {"state": "locked", "memory": 10**9}
    first = runs.holding()
    code, out = runs.run(**broken)
    assert code != 0
    assert "another run is in progress" in out and f"(process {first.pid})" in out
    runs.end(first)
    code, out = runs.run(**broken)
    assert code == 0, out
    assert json.loads(runs.lock.read_text())["pid"] != first.pid
    assert runs.run(**broken, leave=True)[0] == 0
    assert not runs.lock.exists()


def test_the_lock_of_a_killed_run_is_taken_over(runs):
    first = runs.holding()
    runs.end(first)
    code, out = runs.run()
    assert code == 0, out
    assert json.loads(runs.lock.read_text())["pid"] != first.pid


def test_a_finished_run_leaves_no_lock_and_check_mode_takes_none(runs):
    for arguments in ({"leave": True}, {"check": True}):
        code, out = runs.run(**arguments)
        assert code == 0, out
        assert not runs.lock.exists()


def test_all_problems_come_in_one_report_and_no_lock_is_taken(runs, tmp_path):
    secrets = tmp_path / ".intranet-mcp" / "secrets"
    secrets.mkdir(mode=0o700, parents=True)
    (secrets / "key").write_text("x")
    (secrets / "key").chmod(0o644)
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        code, out = runs.run(
            memory=10**9,
            versions={"litellm": "1.82.8"},
            secrets=str(secrets),
            platform_gateway_port=port,
            platform_litellm_prot=1,
            gateway_memory_mb="much",
            bundle="/no/such.pem",
        )
    assert code != 0
    assert "7 problems found on here, nothing was changed" in out
    for words in (
        "MiB of memory; expected at least 1000000000 MiB",
        "litellm 1.82.8 carried malware",
        f"{secrets}/key has mode 0644; expected 0600",
        "/no/such.pem is not there; expected a file on this host",
        f"port {port} is held by",
        "variable platform_litellm_prot is unknown; expected platform_litellm_port",
        "variable gateway_memory_mb",
    ):
        assert words in out
    assert not runs.lock.exists()


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
def test_without_root_the_report_says_so(runs, tmp_path):
    tmp_path.chmod(0o755)
    result = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", AS_NOBODY],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache/collections"), "HOME": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "Permission denied" in result.stderr or "ModuleNotFoundError" in result.stderr:
        pytest.skip("this checkout cannot be read by another user")
    problems = json.loads(result.stdout)["problems"]
    assert [p["check"] for p in problems] == ["root"]
    assert problems[0]["found"] == "Ansible acts as user id 65534"


AS_NOBODY = """
from ansible.module_utils.testing import patch_module_args
from ansible_collections.intranet.mcp.plugins.modules import preflight
with patch_module_args({"memory_mb": 1, "disk_mb": 0, "owner": {"node": "x"}}):
    preflight.main()
"""
