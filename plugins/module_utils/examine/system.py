# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The host itself: who Ansible is on it, what it runs, how much memory it has."""

from __future__ import annotations

import os
import platform
import re

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import read as read_file
from ansible_collections.intranet.mcp.plugins.module_utils.host.release import numbers, os_family

# The firewall's rules answer with a reject in a prerouting hook (Linux 5.9, nft_reject_inet).
KERNEL_FLOOR = (5, 9)


def read() -> dict:
    """What a host says of itself."""
    memory = re.search(r"MemTotal:\s+(\d+)", read_file("/proc/meminfo"))
    return {
        "uid": os.geteuid(),
        "os_family": os_family(read_file("/etc/os-release")),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "memory_mb": int(memory.group(1)) // 1024 if memory else 0,
    }


def judge_root(uid: int) -> Finding:
    """Return whether Ansible may read and change everything. Pure."""
    return Finding(
        "root",
        f"Ansible acts as user id {uid}",
        "root",
        "set ansible_become: true in the inventory, or run as root",
        status=verdict(not uid),
    )


def judge(facts: dict, wanted: dict) -> list[Finding]:
    """Return what root, operating system, architecture, kernel and memory are like. Pure.

    facts: as read. wanted: os_family, architecture (what is supported), memory_mb (the least).
    """
    floor = ".".join(map(str, KERNEL_FLOOR))
    memory = facts["memory_mb"]
    return [
        judge_root(facts["uid"]),
        _judge_kind("os", "operating system family", facts["os_family"], wanted["os_family"]),
        _judge_kind("architecture", "architecture", facts["architecture"], wanted["architecture"]),
        Finding(
            "kernel",
            f"kernel {facts['kernel']}",
            f"{floor} or newer, whose nftables can reject before routing",
            "use a newer release of the operating system",
            status=verdict(numbers(facts["kernel"])[:2] >= KERNEL_FLOOR),
        ),
        Finding(
            "memory",
            f"{memory} MiB of memory",
            f"at least {wanted['memory_mb']} MiB",
            "give the host more, or lower preflight_memory_mb if it runs few services",
            status=verdict(memory >= wanted["memory_mb"]),
        ),
    ]


def _judge_kind(check: str, what: str, found: str, supported: list[str]) -> Finding:
    action = f"use another host, or put {check} into preflight_ignore if you know better"
    expected = " or ".join(supported)
    status = verdict(found in supported)
    return Finding(check, f"{what} {found}", expected, action, status=status)
