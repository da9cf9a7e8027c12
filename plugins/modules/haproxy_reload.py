#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_reload
short_description: Lets HAProxy read its configuration again, without losing a connection
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - New processes take over the listening sockets and what the old ones know of each server, so that
    a drained server stays drained and one that is down gets nothing. The old ones finish what they
    have under way.
  - A configuration that HAProxy refuses is an error, and the old one is still served.
extends_documentation_fragment:
  - intranet.mcp.attributes
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
options:
  directory:
    description: Directory of HAProxy's sockets, C(admin.sock) and C(master.sock), on this host.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Serve the new configuration
  intranet.mcp.haproxy_reload:
    directory: /var/lib/intranet-mcp/load_balancer/run
  when: written is changed
"""

RETURN = r"""
answer:
  description: What HAProxy said.
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
from ansible_collections.intranet.mcp.plugins.module_utils._errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils._haproxy import HAProxy


def main():
    module = AnsibleModule(
        argument_spec={"directory": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    result = {"changed": True}
    try:
        if not module.check_mode:
            result["answer"] = HAProxy(module.params["directory"]).reload()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
