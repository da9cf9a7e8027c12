# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the faults do to hosts and to the platform."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from hosts import INVENTORY, all_are_up, on, server_states, wait_until

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
RECOVERY_SECONDS = 30
# LiteLLM takes half a minute to start on an idle core, and two busy ones carry all hosts.
LITELLM_START_SECONDS = 240
# What a first rollout changes, and later ones leave as it is.
CHANGED = {"gateway_memory_mb": 400, "litellm_memory_mb": 2100}


def kill(host, container):
    """Kill a container's first process, as the kernel does when memory is short.

    Returns when it is gone, which takes a while on busy cores; until then it still accepts calls.
    """
    pid = f"$(docker inspect --format '{{{{.State.Pid}}}}' {container})"
    on(host, f"pid={pid}; kill -9 $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done")
    return time.monotonic()


@contextlib.contextmanager
def stopped(*places):
    """Keep containers stopped, each a (host, container).

    Yields when that began, and when the last was gone: until then it takes requests it cannot end.
    """
    began = time.monotonic()
    for host, container in places:
        on(host, f"docker stop --time 10 {container}")
    try:
        yield began, time.monotonic()
    finally:
        for host, container in places:
            on(host, f"docker start {container}")
        for host, container in places:
            wait_until_healthy(host, container)


def wait_until_healthy(host, container, seconds=120):
    """Wait until a container's own check says so."""
    status = f"docker inspect --format '{{{{.State.Health.Status}}}}' {container}"
    wait_until(lambda: on(host, status) == "healthy", seconds, f"{container} to be healthy")


def is_out(host):
    """Tell whether the balancer sends nothing to a host any more."""
    states = [status for (_service, server), status in server_states().items() if server == host]
    return states and not any(status.startswith("UP") for status in states)


def wait_until_noticed():
    """Wait until the balancer has found that a server is away."""
    wait_until(lambda: not all_are_up(), 15, "the balancer to notice")


def wait_until_whole(seconds=RECOVERY_SECONDS):
    """Wait until the balancer sends requests to every server again."""
    wait_until(all_are_up, seconds, "every server to be up")


def site_command(*arguments, playbook="site", **variables):
    """Return the command that runs site.yml, or another playbook."""
    return [
        str(PLAYBOOK),
        *("-i", str(INVENTORY), *map(str, arguments)),
        *("-e", json.dumps(variables), f"intranet.mcp.{playbook}"),
    ]


def run_site(*arguments, **variables):
    """Run site.yml, or another playbook, and return how it ended."""
    return subprocess.run(
        site_command(*arguments, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def site(*arguments, **variables):
    """Run site.yml, which must succeed."""
    done = run_site(*arguments, **variables)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def identity(host, container):
    """Return what changes when a container is replaced."""
    return on(host, f"docker inspect --format '{{{{.Id}}}}' {container}")


def doctor(*arguments, **variables):
    """Run the doctor and return its findings."""
    report = INVENTORY / ".intranet-mcp/reports/doctor.json"
    report.unlink(missing_ok=True)
    run_site(*arguments, playbook="doctor", **variables)
    return json.loads(report.read_text())["findings"]
