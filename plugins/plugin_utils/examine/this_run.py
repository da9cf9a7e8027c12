# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The run that asks for the lock of a host: the ansible-playbook process of this worker."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import socket
import sys
import time

from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import read


def this_run():
    """The ansible-playbook process that this worker belongs to."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else os.getpid()
    return {
        "node": f"{socket.gethostname()} {read('/etc/machine-id').strip()}".strip(),
        "boot": read("/proc/sys/kernel/random/boot_id").strip(),
        "host": socket.gethostname(),
        "pid": pid,
        "started": started_now(pid),
        "user": getpass.getuser(),
        "playbook": " ".join(a for a in sys.argv if a.endswith((".yml", ".yaml"))) or "a playbook",
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def started_now(pid):
    """When the process started, in the kernel's own count; None where it does not run.

    Without /proc any running process of that id gets 0.
    """
    if os.path.isdir("/proc/self"):
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else None
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return 0
