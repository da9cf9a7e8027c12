# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A running platform to break, and the doctor that examines it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import testinfra
import yaml

# The scenario's own, so that the tests also run beside another one.
REPOSITORY = Path(__file__).absolute().parents[3]
sys.path.append(str(REPOSITORY / "tests"))  # mcp_messages.py
INVENTORY = Path(__file__).absolute().parents[1] / "inventory"
HOSTS = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
(NAME,) = HOSTS["all"]["children"]["platform"]["children"]["postgres"]["hosts"]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
# One test on a slow machine, and what the sequence does after these tests.
NEEDED_SECONDS = 1300


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Begin no test that a run with a deadline (tests/tools/suite.py) has no time for."""
    ends_at = os.environ.get("TEST_ENDS_AT")
    if ends_at and float(ends_at) - time.time() < NEEDED_SECONDS:
        pytest.skip("no time left on this machine")


class Inspection:
    """What the doctor said: exit status, the terminal's last table, and doctor.json."""

    def __init__(self, status, output, report):
        self.status, self.output = status, output
        self.findings = report["findings"]
        self.unseen = report["unseen"]

    def __repr__(self):
        return f"Inspection({self.status}, {self.findings})"

    @property
    def found(self):
        """Findings as (check, service) pairs."""
        return {(finding["check"], finding["service"]) for finding in self.findings}

    def one(self, check, service=""):
        """Return the finding of a check."""
        (finding,) = [f for f in self.findings if (f["check"], f["service"]) == (check, service)]
        return finding


def play(playbook, *arguments, inventories=(), **variables):
    """Run a playbook against the scenario's host."""
    sources = [word for path in (INVENTORY, *inventories) for word in ("-i", str(path))]
    command = [PLAYBOOK, *sources, "-e", json.dumps(variables), *arguments, playbook]
    run = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    print(run.stdout, run.stderr)
    return run


@pytest.fixture(scope="session")
def doctor():
    """Return a function that runs the playbook, `doctor(fix=True)` with its fixes."""
    path = INVENTORY / ".intranet-mcp/reports" / "doctor.json"

    def examine(fix=False, **options):
        path.unlink(missing_ok=True)
        run = play("intranet.mcp.doctor", *(["--tags", "fix"] if fix else []), **options)
        return Inspection(run.returncode, run.stdout, json.loads(path.read_text()))

    return examine


@pytest.fixture(scope="session")
def verify():
    """Return a function that runs verify and returns the names of the checks that did not pass.

    Drift counts. Alerts do not: those of what was broken a moment ago may still be out. No revoked
    key is waited for, which takes half a minute each time: the sequence's next verify step does
    that.
    """
    path = INVENTORY / ".intranet-mcp/reports" / "verify.json"

    def examine(**options):
        path.unlink(missing_ok=True)
        run = play("intranet.mcp.verify", verify_revocation=False, verify_advisory=[], **options)
        checks = json.loads(path.read_text())["checks"]
        bad = {c["name"] for c in checks if c["status"] not in ("passed", "not_applicable")}
        bad -= {"monitoring has no alert"}
        assert len(checks) > 30 and (run.returncode == 0) == (not bad), bad
        return bad

    return examine


# Whatever is broken and mended: no container may reach anything outside of its host meanwhile, but
# a name server, which closed networks have, too.
NOTHING_OUTSIDE = """
nft add table inet nothing_outside
nft add chain inet nothing_outside forward '{ type filter hook forward priority -10; }'
nft add rule inet nothing_outside forward meta l4proto '{ tcp, udp }' th dport 53 accept
nft add rule inet nothing_outside forward oifname eth0 ct state new counter reject
"""


@pytest.fixture(scope="session", autouse=True)
def nothing_outside(host):
    """Have a platform that works, and mends itself, on a closed network."""
    host.check_output(NOTHING_OUTSIDE)
    yield
    host.check_output("nft delete table inet nothing_outside")


@pytest.fixture(scope="session")
def host():
    return testinfra.get_host(f"docker://{NAME}")


@pytest.fixture(scope="session")
def network():
    """Return the host's address, and this machine's address as the host sees it."""
    answer = subprocess.run(["docker", "inspect", NAME], capture_output=True, check=True)
    (container,) = json.loads(answer.stdout)
    settings = next(iter(container["NetworkSettings"]["Networks"].values()))
    return settings["IPAddress"], settings["Gateway"]


@pytest.fixture
def background(host):
    """Run programs on the host until the test ends; `background(probe, *command)` waits for it."""
    running = []

    def run(probe, *command):
        pid = f"/run/background-{len(running)}"
        words = ["sh", "-c", f'echo $$ >{pid}; exec "$@"', "background", *command]
        program = subprocess.Popen(["docker", "exec", NAME, *words], stderr=subprocess.DEVNULL)
        running.append((program, pid))
        wait_inside(host, probe)

    def stop():
        for program, pid in running:
            host.run(f"kill $(cat {pid})")
            program.wait(10)
        running.clear()

    run.stop = stop
    yield run
    stop()


def wait_inside(host, probe, tenths=100):
    """Wait on the host, for a bounded time, until a command succeeds there."""
    host.check_output(f"for i in $(seq {tenths}); do {probe} && exit; sleep 0.1; done; exit 1")


def wait_until(condition, seconds):
    """Wait for a bounded time until something seen from outside holds."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain"
        time.sleep(0.5)  # polls a service, which sends no event
