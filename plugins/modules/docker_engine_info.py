#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: Tell which Docker engine a host has, who runs it, and whether there is a GPU
author:
  - intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
description:
  - Reads in one go what a role must know before it installs, starts or restarts the engine.
  - A daemon that nobody of ours started is recognised as such, so that it can be left alone.
extends_documentation_fragment:
  - intranet.mcp.engine
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Reads only.
options:
  supervisor:
    description: Where the supervisor's program is installed.
    type: path
    default: /usr/local/lib/intranet-mcp/docker-supervisor
  supervisor_state:
    description: The supervisor's run directory.
    type: path
    default: /run/intranet-mcp/docker-supervisor
  authorities:
    description: Glob of the files that RV(authorities) lists.
    type: path
    default: /etc/docker/certs.d/*/intranet-mcp.crt
"""

EXAMPLES = r"""
- name: Inspect the engine
  intranet.mcp.docker_engine_info:
  register: engine
"""

RETURN = r"""
os_family:
  description: Family of the distribution, C(debian), C(redhat) or the distribution's own id.
  returned: always
  type: str
  sample: debian
service_manager:
  description: V(systemd) where it is running, V(none) elsewhere.
  returned: always
  type: str
  sample: systemd
missing:
  description: What is not there of C(dockerd), C(docker) and C(requests) (the Python package).
  returned: always
  type: list
  elements: str
  sample: [requests]
python:
  description: The interpreter that needs C(requests).
  returned: always
  type: str
  sample: /usr/bin/python3
answers:
  description: Whether a daemon answers on the socket.
  returned: always
  type: bool
  sample: true
version:
  description: The answering daemon's version.
  returned: always
  type: str
  sample: 26.1.5+dfsg1
starts_at_boot:
  description: Whether systemd starts the engine at boot.
  returned: always
  type: bool
  sample: true
managed_by:
  description:
    - Who runs the daemon that answers, V(systemd), V(supervisor) or V(other), or V(none).
  returned: always
  type: str
  sample: systemd
nvidia_gpu:
  description: Whether the driver of an NVIDIA GPU is loaded.
  returned: always
  type: bool
  sample: false
supervisor_checksum:
  description: SHA-256 of the installed supervisor program, empty where there is none.
  returned: always
  type: str
  sample: ""
authorities:
  description: Files with authorities of registries that are there.
  returned: always
  type: list
  elements: str
  sample: [/etc/docker/certs.d/harbor.example.internal/intranet-mcp.crt]
"""

import glob
import hashlib
import importlib.util
import os
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import SOCKET, get
from ansible_collections.intranet.mcp.plugins.module_utils.host.release import os_family

# The driver makes its device files on first use, its directory when it is loaded.
GPU_PATHS = ("/dev/nvidia[0-9]*", "/dev/nvidia", "/proc/driver/nvidia")
BOOT_LINK = "/etc/systemd/system/multi-user.target.wants/docker.service"


def daemon(path: str) -> tuple[str, int]:
    """Version and process id of the daemon on the socket; ('', 0) where none answers."""
    found, pid = get(path, "/version")
    return (found.get("Version", "?"), pid) if found else ("", 0)


def managed_by(pid: int, control_group: str, supervised: str) -> str:
    """Who runs process `pid`, whose /proc/PID/cgroup is given."""
    if not pid:
        return "none"
    # With socket activation the listener is systemd itself.
    if "docker.service" in control_group or (pid == 1 and not supervised):
        return "systemd"
    return "supervisor" if str(pid) == supervised.strip() else "other"


def read(path: str) -> str:
    """The file's text, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "default": SOCKET},
            "supervisor": {
                "type": "path",
                "default": "/usr/local/lib/intranet-mcp/docker-supervisor",
            },
            "supervisor_state": {"type": "path", "default": "/run/intranet-mcp/docker-supervisor"},
            "authorities": {
                "type": "path",
                "default": "/etc/docker/certs.d/*/intranet-mcp.crt",
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    version, pid = daemon(params["socket"])
    missing = [name for name in ("dockerd", "docker") if not module.get_bin_path(name)]
    if importlib.util.find_spec("requests") is None:
        missing.append("requests")
    program = read(params["supervisor"])
    module.exit_json(
        changed=False,
        os_family=os_family(read("/etc/os-release")),
        service_manager="systemd" if os.path.isdir("/run/systemd/system") else "none",
        missing=missing,
        python=sys.executable,
        answers=bool(version),
        starts_at_boot=os.path.lexists(BOOT_LINK),
        version=version,
        managed_by=managed_by(
            pid,
            read(f"/proc/{pid}/cgroup"),
            read(os.path.join(params["supervisor_state"], "dockerd.pid")),
        ),
        nvidia_gpu=any(glob.glob(pattern) for pattern in GPU_PATHS),
        supervisor_checksum=hashlib.sha256(program.encode()).hexdigest() if program else "",
        authorities=sorted(glob.glob(params["authorities"])),
    )


if __name__ == "__main__":
    main()
