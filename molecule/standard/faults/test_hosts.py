# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A host that is cut off, switched off or full: the other one serves on."""

from __future__ import annotations

import subprocess
import time

from actions import (
    LITELLM_START_SECONDS,
    is_out,
    run_site,
    site,
    wait_until_whole,
)
from hosts import APP1, APP2, on, wait_until
from load import row


def test_a_host_that_nothing_reaches_costs_no_new_request(load, report):
    """The host drops everything that the balancer sends: no refusal, only silence."""
    table = "table inet partition { chain in { type filter hook prerouting priority -300; "
    rule = "iifname eth0 drop; }; }"
    on(APP1, f"echo '{table}{rule}' | nft -f -")
    cut = time.monotonic()
    try:
        wait_until(lambda: is_out(APP1), 30, "the balancer to notice")
        load.more(5)
    finally:
        on(APP1, "nft delete table inet partition")
    healed = time.monotonic()
    wait_until_whole()
    load.more(5)
    report(row("partition of an app host", load, cut, cut_at=cut))
    cost = row("", load, healed, cut_at=healed)
    assert cost["failed"] == 0, cost["problems"]


def test_a_host_that_is_switched_off_costs_no_new_request(load, report):
    began = time.monotonic()
    subprocess.run(["docker", "stop", "--time", "60", APP2], check=True, capture_output=True)
    # Until then it takes requests, and what they were doing ends with it.
    gone = time.monotonic()
    try:
        wait_until(lambda: is_out(APP2), 30, "the balancer to notice")
        load.more(10)
    finally:
        subprocess.run(["docker", "start", APP2], check=True, capture_output=True)
    wait_until_whole(LITELLM_START_SECONDS)
    load.more(5)
    cost = row("stop of a whole app host", load, began, cut_at=gone)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_host_out_of_disk_serves_on_and_is_refused_before_anything_changes(load, report):
    began = time.monotonic()
    filler = "/var/lib/docker/filler"
    on(APP1, f"fallocate --length $(df --output=avail -B1 {filler[:-7]} | tail -n 1) {filler}")
    try:
        load.more(10)
        refused = run_site("--limit", APP1)
        assert refused.returncode != 0
        assert "mount a larger disk there" in refused.stdout, refused.stdout[-3000:]
    finally:
        on(APP1, f"rm -f {filler}")
    limited = site("--limit", APP1)
    assert "changed=0" in limited.rsplit(APP1, 1)[1]
    assert f"This run was limited to {APP1}." in limited
    load.more(5)
    cost = row("an app host out of disk", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]
