# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Adds what only the control node knows: services of the host, the time, ports it can reach."""

from __future__ import annotations

import concurrent.futures
import ipaddress
import socket
import time

from ansible.plugins.action import ActionBase
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.memory_options import option_of
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import (
    UNUSABLE,
    reason_of,
    topology_from,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import (
    connects,
    networks_of,
)

MODULE = "intranet.mcp.doctor"
CONNECT_SECONDS = 3


class ActionModule(ActionBase):
    """Read the catalog, try the public addresses, run the module on the host."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            topology = topology_from(task_vars, self._templar.template)
            host = task_vars["inventory_hostname"]
            arguments.setdefault("services", services_of(topology, host))
            arguments["reached"] = reached(topology, host)
            if host in topology.balancers:
                arguments["shared_addresses"] = topology.shared_addresses
        except UNUSABLE as error:
            arguments["inventory_error"] = reason_of(error)
        return self._execute_module(
            module_name=MODULE,
            module_args={**arguments, "time": time.time()},
            task_vars=task_vars,
        )


def services_of(topology, host: str) -> dict:
    """The host's containers, each with its place in the catalog and the names it must resolve."""
    here = topology.services_on(host)
    parts = {s.name: [p for p in here if p.part_of == s.name] for s in here}
    return {
        service.name: {
            "port": service.port,
            "inside_port": service.inside_port,
            "publish": topology.publish(service.name, host),
            "parts": [
                {
                    "name": part.name,
                    "port": part.port,
                    "publish": topology.publish(part.name, host),
                }
                for part in parts[service.name]
            ],
            "role": service.role,
            "memory_option": option_of(service),
            "networks": [n["name"] for n in networks_of(topology, service, host)],
            "needs": [
                other.name
                for other in topology.containers_on(host)
                if connects(topology, service, other)
            ],
        }
        for service in here
        if not topology.is_part(service)  # no container of its own
    }


def reached(topology, host: str) -> dict[str, str]:
    """What comes of a connection to each service that this control node may use."""
    try:
        address = topology.address(host)
        source = ipaddress.ip_address(source_towards(address))
    except (TopologyError, OSError, ValueError):
        return {}  # an address that nobody knows cannot be tried
    flows = [
        flow
        for flow in topology.flows(host)
        if flow.proto == "tcp"
        and any(source in ipaddress.ip_network(network) for network in flow.sources)
    ]
    if not flows:
        return {}
    with concurrent.futures.ThreadPoolExecutor(len(flows)) as pool:
        answers = {flow.service: pool.submit(knock, address, flow.port) for flow in flows}
    return {service: answer.result() for service, answer in answers.items()}


def source_towards(address: str) -> str:
    """The address this machine uses towards another; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return probe.getsockname()[0]


def knock(address: str, port: int) -> str:
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return "open"
    except TimeoutError:
        return f"no answer in {CONNECT_SECONDS} s"
    except OSError as error:
        return str(error.strerror or error).lower()
