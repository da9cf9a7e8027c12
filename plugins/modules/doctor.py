#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: doctor
short_description: Say what is wrong with a host of the platform, and what to do about it
author:
  - intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
description:
  - Examines a host in one call, the engine and its containers, firewall, disk, clock, certificates,
    and what PostgreSQL, Redis, Ollama, LiteLLM, the gateway, the portal and Prometheus say of
    themselves.
  - Reads only. It is made for hosts on which anything may be broken, the engine included.
  - Its action plugin adds what only the control node knows, which services belong on the host, the
    time, and which ports it can reach.
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
  daemon_json:
    description: The engine's configuration file.
    type: path
    default: /etc/docker/daemon.json
  container_prefix:
    description: What the names of the platform's containers begin with.
    type: str
    default: intranet-
  firewall_table:
    description: Name of the platform's nftables table, of family C(inet).
    type: str
    default: intranet_mcp
  config_dir:
    description: Configuration and secrets on the host.
    type: path
    default: /etc/intranet-mcp
  data_dir:
    description: Data on the host.
    type: path
    default: /var/lib/intranet-mcp
  disk_paths:
    description: Further places that need free space.
    type: list
    elements: path
    default: []
  disk_reserve_mb:
    description: Least free space, in MiB.
    type: int
    default: 1024
  clock_skew_seconds:
    description: How far the clock may be off the control node's.
    type: int
    default: 60
  memory_percent:
    description: Share of a container's memory limit that it may use.
    type: int
    default: 90
  certificates:
    description: Certificates to check, PEM files on the host or C(https) URLs.
    type: list
    elements: str
    default: []
  certificate_days:
    description: How long a certificate must still be valid.
    type: int
    default: 21
  names:
    description: Host names that this host must be able to resolve.
    type: list
    elements: str
    default: []
  aliases:
    description: Whether to check the aliases of LiteLLM's keys and teams. One host is enough.
    type: bool
    default: true
  models:
    description: Models that Ollama must have on this host.
    type: list
    elements: str
    default: []
  context_length:
    description: Context that Ollama must give a model, in tokens.
    type: int
    default: 4096
  contexts:
    description:
      - Contexts that the inventory declares, in tokens, by the model's name. They may be shorter
        than O(context_length).
    type: dict
    default: {}
  database:
    description: LiteLLM's database, its C(name), C(user) and C(max_connections).
    type: dict
    default: {name: litellm, user: litellm}
  connections:
    description: Database connections that all of LiteLLM's pools may take together.
    type: int
    default: 0
  connections_reserve:
    description: Database connections to keep free of them.
    type: int
    default: 10
  gpu:
    description: Whether containers must have an NVIDIA GPU.
    type: bool
    default: false
  proxies:
    description:
      - Base URLs of proxies in front of the gateway. An event stream is opened through each, and
        next to it without one, from the gateway's host.
    type: list
    elements: str
    default: []
  proxy_patience_seconds:
    description: How long a first event may take through a proxy.
    type: int
    default: 5
  proxy_seconds:
    description:
      - How long a stream must last through a proxy. Only waiting tells whether a proxy cuts it, so
        the module takes that long where there are O(proxies).
    type: int
    default: 65
  wait_seconds:
    description:
      - How long to examine again while all that is left passes by itself, such as upstreams that
        the gateway has not seen again. For an examination after something was fixed.
    type: int
    default: 0
  key:
    description: A virtual key for the gateway, for O(proxies).
    type: str
    default: ""
  services:
    description:
      - Services that belong on this host, each with C(port), C(inside_port), C(publish), C(parts)
        (further ports), C(role), C(memory_option) (the variable of its memory limit), C(networks)
        and C(needs), the services whose names it must resolve. The action plugin reads the catalog.
    type: dict
    default: {}
  reached:
    description: Set by the action plugin. What happened on connecting to the services' ports.
    type: dict
    default: {}
  shared_addresses:
    description: Set by the action plugin. Addresses that several load balancers share, on these.
    type: list
    elements: str
    default: []
  inventory_error:
    description: Set by the action plugin. Why the catalog cannot be read.
    type: str
    default: ""
  time:
    description: Set by the action plugin. The control node's clock.
    type: float
"""

EXAMPLES = r"""
- name: Examine the host
  intranet.mcp.doctor:
    models: [qwen3:8b]
    context_length: 16384
  register: examined
"""

RETURN = r"""
findings:
  description:
    - What is wrong, with C(found), C(expected) and C(action). C(check) is the kind, C(service) what
      it concerns (empty for the host), C(role) the role that owns it. C(fix) is what the role
      C(doctor) does about it with C(--tags fix), empty where only a person may decide.
  returned: always
  type: list
  elements: dict
  sample:
    - check: container
      found: intranet-redis is stopped (exit status 0)
      expected: running
      action: docker start intranet-redis
      fix: start
      service: redis
      role: redis
unseen:
  description: Checks that could not be made, C(check), and why, C(why).
  returned: always
  type: list
  elements: dict
  sample: [{check: models, why: ollama does not run or does not answer}]
facts:
  description: Some of what was read, for people, the engine, each container, free space.
  returned: always
  type: dict
  sample:
    engine: {version: 26.1.5, root: /var/lib/docker}
    containers: {redis: {state: running, health: healthy, memory_mb: 9}}
    shared_address: {addresses: [10.0.0.10], held: [], container: intranet-keepalived}
    free_mb: {/var/lib/docker: 91234}
backup:
  description: The newest backup of a broken daemon.json that can be put back, empty if none.
  returned: always
  type: str
  sample: ""
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import SOCKET
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    doctor,
    doctor_cluster,
    doctor_containers,
    doctor_logs,
    doctor_monitoring,
    doctor_portal,
    doctor_services,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor_facts import gather

RECHECK_SECONDS = 2
# Findings that pass by themselves: the gateway asks a server again within half a minute, Prometheus
# at its next scrape.
PASSING = {"upstream", "monitoring"}
RULES = [
    *doctor.RULES,
    *doctor_containers.RULES,
    *doctor_services.RULES,
    *doctor_cluster.RULES,
    *doctor_monitoring.RULES,
    *doctor_logs.RULES,
    *doctor_portal.RULES,
]
ARGUMENTS = {
    "socket": {"type": "path", "default": SOCKET},
    "daemon_json": {"type": "path", "default": "/etc/docker/daemon.json"},
    "container_prefix": {"type": "str", "default": "intranet-"},
    "firewall_table": {"type": "str", "default": "intranet_mcp"},
    "config_dir": {"type": "path", "default": "/etc/intranet-mcp"},
    "data_dir": {"type": "path", "default": "/var/lib/intranet-mcp"},
    "disk_paths": {"type": "list", "elements": "path", "default": []},
    "disk_reserve_mb": {"type": "int", "default": 1024},
    "clock_skew_seconds": {"type": "int", "default": 60},
    "memory_percent": {"type": "int", "default": 90},
    "certificates": {"type": "list", "elements": "str", "default": []},
    "certificate_days": {"type": "int", "default": 21},
    "names": {"type": "list", "elements": "str", "default": []},
    "aliases": {"type": "bool", "default": True},
    "models": {"type": "list", "elements": "str", "default": []},
    "context_length": {"type": "int", "default": 4096},
    "contexts": {"type": "dict", "default": {}},
    "database": {"type": "dict", "default": {"name": "litellm", "user": "litellm"}},
    "connections": {"type": "int", "default": 0},
    "connections_reserve": {"type": "int", "default": 10},
    "gpu": {"type": "bool", "default": False},
    "proxies": {"type": "list", "elements": "str", "default": []},
    "proxy_patience_seconds": {"type": "int", "default": 5},
    "proxy_seconds": {"type": "int", "default": 65},
    "wait_seconds": {"type": "int", "default": 0},
    "key": {"type": "str", "default": "", "no_log": True},
    "services": {"type": "dict", "default": {}},
    "reached": {"type": "dict", "default": {}},
    "shared_addresses": {"type": "list", "elements": "str", "default": []},
    "inventory_error": {"type": "str", "default": ""},
    "time": {"type": "float"},
}


def summary(facts: dict) -> dict:
    """What of the facts is worth showing; logs and environments are not."""
    return {
        "engine": facts["engine"],
        "containers": {
            service: {
                "state": container["state"],
                "health": container["health"],
                "memory_mb": container["memory_used"] >> 20,
            }
            for service, container in sorted(facts["containers"].items())
        },
        # Judged where all balancers are seen.
        "shared_address": facts["shared_address"],
        "free_mb": {found.path: found.free_mb for found in facts["filesystems"] or []},
    }


def examine(params: dict) -> tuple[dict, dict]:
    """Facts and diagnosis; examines again, for a bounded time, what only needs time."""
    deadline = time.monotonic() + params["wait_seconds"]
    while True:
        facts = gather(params)
        diagnosis = doctor.diagnose(facts, params, RULES)
        left = {finding["check"] for finding in diagnosis["findings"]}
        if not left or left - PASSING or time.monotonic() >= deadline:
            return facts, diagnosis
        time.sleep(RECHECK_SECONDS)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    facts, diagnosis = examine(module.params)
    module.exit_json(
        changed=False,
        findings=diagnosis["findings"],
        unseen=diagnosis["unseen"],
        facts=summary(facts),
        backup=facts["daemon_json"]["backup"],
    )


if __name__ == "__main__":
    main()
