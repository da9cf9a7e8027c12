#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: balancer_reload
short_description: Lets the load balancer read its configuration again, without losing a connection
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - A drained server stays drained. What is under way is finished by the configuration that it began
    with.
  - New processes of HAProxy take over the listening sockets and what the old ones know of each
    server. Traefik takes a new configuration as it runs, and each server for ready until its first
    check.
  - A configuration that is refused is an error, and the old one is still served.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.balancer
attributes:
  check_mode:
    support: full
    details:
      - Says that it would reload.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Every run is a reload. Run it when files changed.
"""

EXAMPLES = r"""
- name: Serve the new configuration
  intranet.mcp.balancer_reload:
    directory: /var/lib/intranet-mcp/load_balancer/run
    container: intranet-load_balancer
  when: written is changed
"""

RETURN = r"""
answer:
  description: What the balancer said.
  returned: when reloaded
  type: str
  sample: Success=1
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: refused
    found: "HAProxy refuses the configuration: unknown keyword"
    expected: one that it accepts
    action: correct what it names; the old configuration is still served
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.engines import OPTIONS, running
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unreachable,
    fail,
)


def reload(params):
    balancer = running(params)
    if balancer is None:
        raise Unreachable(
            f"no load balancer runs as {params['container']}",
            "one that can read its configuration again",
            "run site.yml, which starts it",
        )
    return balancer.reload()


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    result = {"changed": True}
    try:
        if not module.check_mode:
            result["answer"] = reload(module.params)
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
