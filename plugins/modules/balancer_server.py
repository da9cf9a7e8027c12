#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: balancer_server
short_description: Removes a server from the load balancer's rotation, or returns it
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Runs on the balancer's own host and finds out which engine is there. HAProxy is spoken to by its
    runtime API, Traefik by the file that it serves. The configuration that the role wrote stays.
  - Where no balancer runs yet, or it has no such server yet, there is nothing to do.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.balancer
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  backend:
    description: The service that it is a replica of.
    type: str
    required: true
  server:
    description: Name of the server, a host of the inventory. Give this or O(all_but).
    type: str
  all_but:
    description:
      - Drains every server of the backend that is not listed. For replicas that are about to leave,
        whose names only the balancer still knows.
    type: list
    elements: str
  state:
    description:
      - V(drain) gives it no new requests and waits until those under way have ended.
      - V(ready) waits until its check passes, then gives it requests again.
    type: str
    choices: [drain, ready]
    required: true
  timeout_seconds:
    description:
      - Longest wait. Requests that are still under way then are reported, not an error. A server
        that is not ready then is one, and it stays drained.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Take the gateway of app1 out of rotation
  intranet.mcp.balancer_server:
    directory: /var/lib/intranet-mcp/load_balancer/run
    container: intranet-load_balancer
    backend: gateway
    server: app1
    state: drain
  delegate_to: lb1

- name: Send nothing more to replicas that leave
  intranet.mcp.balancer_server:
    directory: /var/lib/intranet-mcp/load_balancer/run
    container: intranet-load_balancer
    backend: gateway
    all_but: [app1, app2]
    state: drain
"""

RETURN = r"""
servers:
  description: What was found and done, by server. Empty where there is no such server.
  returned: success
  type: dict
  sample:
    app1:
      status: UP
      changed: true
      sessions_left: 0
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: not_ready
    found: "gateway on app1 did not become ready within 30 s: its check says L7STS 503"
    expected: an answer with status 200
    action: read its log on app1
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.engines import OPTIONS, running
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import server_name
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail


class RotatedServer:
    """One server and whether it gets requests."""

    def __init__(self, module, balancer, name):
        self.module, self.balancer, self.name = module, balancer, name
        self.backend, self.state = module.params["backend"], module.params["state"]

    def run(self):
        """Bring it to its desired state; None where the balancer has none of that name."""
        server = self.balancer.server(self.backend, self.name)
        if server is None:
            return None
        changed = server.is_drained != (self.state == "drain")
        result = {"status": server.status, "changed": changed}
        if self.state == "drain":
            result["sessions_left"] = server.sessions
        if changed and not self.module.check_mode:
            result.update(self.apply())
        return result

    def apply(self):
        """Change it, and wait before or after."""
        seconds = self.module.params["timeout_seconds"]
        if self.state == "drain":
            self.balancer.set_state(self.backend, self.name, "drain")
            left = self.balancer.wait_until_idle(self.backend, self.name, seconds)
            return {"sessions_left": left}
        self.balancer.wait_until_healthy(self.backend, self.name, seconds)
        self.balancer.set_state(self.backend, self.name, "ready")
        return {}


def names_of(params, balancer):
    """The servers that are meant."""
    if balancer is None:
        return []
    if params["server"]:
        return [server_name(params["server"])]
    kept = {server_name(name) for name in params["all_but"]}
    return [name for name in balancer.servers(params["backend"]) if name not in kept]


def run(module):
    balancer = running(module.params)
    found = {
        name: RotatedServer(module, balancer, name).run()
        for name in names_of(module.params, balancer)
    }
    servers = {name: result for name, result in found.items() if result}
    changed = [name for name, result in servers.items() if result["changed"]]
    before = "".join(f"{name}: {servers[name]['status']}\n" for name in changed)
    after = "".join(f"{name}: {module.params['state']}\n" for name in changed)
    return {
        "changed": bool(changed),
        "servers": servers,
        "diff": {"before": before, "after": after},
    }


def main():
    module = AnsibleModule(
        argument_spec={
            **OPTIONS,
            "backend": {"type": "str", "required": True},
            "server": {"type": "str"},
            "all_but": {"type": "list", "elements": "str"},
            "state": {"type": "str", "choices": ["drain", "ready"], "required": True},
            "timeout_seconds": {"type": "float", "default": 30},
        },
        required_one_of=[("server", "all_but")],
        mutually_exclusive=[("server", "all_but")],
        supports_check_mode=True,
    )
    if module.params["all_but"] is not None and module.params["state"] != "drain":
        module.fail_json(
            msg=f"all_but was given with state {module.params['state']}, expected drain: name one "
            "server to return it to the rotation"
        )
    try:
        result = run(module)
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
