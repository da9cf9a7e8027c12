#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_member
short_description: Inspects a host's Redis among several, and hands the primary role over
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Asks Redis and Sentinel on the member's own host. Sentinel decides who is the primary; this
    module only asks it to choose another.
  - Where they do not run yet there is nothing to do.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  address:
    description: Where both listen.
    type: str
    default: 127.0.0.1
  port:
    description: Redis's port on this host.
    type: int
    default: 6379
  sentinel_port:
    description: Sentinel's port on this host.
    type: int
    default: 26379
  password:
    description: The password of both.
    type: str
    required: true
  data_directory:
    description: Where Redis's data lies on this host.
    type: path
  members:
    description:
      - How many members there must be, for O(state=ready). The first one waits for no other.
    type: int
    default: 1
  addresses:
    description: Address and port of each member, as the others reach it, for O(state=kept).
    type: list
    elements: str
    default: []
  state:
    description:
      - V(seen) changes nothing.
      - V(handed_over) lets another member be the primary, if this one is.
      - V(kept) lets one of O(addresses) be the primary, where the one that is is none of them, and
        resets this host's Sentinel, which drops all others.
      - V(ready) waits until this member is the primary or follows it, and Sentinel agrees.
    type: str
    choices: [seen, handed_over, kept, ready]
    required: true
  timeout_seconds:
    description: Longest wait.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Hand the lead over before the container is replaced
  intranet.mcp.redis_member:
    password: "{{ lookup('intranet.mcp.secret', 'redis_password') }}"
    state: handed_over

- name: Wait until it follows again
  intranet.mcp.redis_member:
    password: "{{ lookup('intranet.mcp.secret', 'redis_password') }}"
    members: 3
    state: ready
"""

RETURN = r"""
role:
  description: What the member is now, V(primary), V(replica), or empty where there are not several.
  returned: success
  type: str
  sample: replica
data:
  description: Whether data lies on this host, V(primary) or V(none).
  returned: success
  type: str
  sample: primary
has_begun:
  description: Whether this host has taken part in a cluster before.
  returned: success
  type: bool
  sample: true
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: not_ready
    found: "after 60 s: this one is replica of 192.0.2.1:6379, not connected; Sentinel counts ..."
    expected: a primary or a replica that is connected, and Sentinels that agree
    action: read the logs of the containers redis and redis_sentinel on this host
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import ClusterHost, Redis
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    Unreachable,
    fail,
)


class ClusterMember:
    """The Redis on this host, from what it is to what it should be."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        address, password = self.params["address"], self.params["password"]
        self.host = ClusterHost(
            Redis((address, self.params["port"]), password, "Redis"),
            Redis((address, self.params["sentinel_port"]), password, "Sentinel"),
        )
        self.result = {"changed": False, "diff": {"before": "", "after": ""}}

    def run(self):
        role = self.wait_until_ready() if self.params["state"] == "ready" else self.role()
        if role == "primary" and self.params["state"] == "handed_over":
            role = self.give()
        if role and self.params["state"] == "kept":
            self.keep()
        return {**self.result, "role": role, **self.data()}

    def role(self):
        """What it is among several; nothing where no Sentinel knows it, as of one that is alone."""
        try:
            self.host.view()
            return self.host.member().role
        except (Unreachable, Refused):
            return ""

    def give(self):
        """Let another be the primary, where there is another."""
        if not self.host.view().replicas:
            return "primary"
        self.result.update(
            changed=True, diff={"before": "this primary\n", "after": "another primary\n"}
        )
        if self.module.check_mode:
            return "primary"
        self.host.fail_over()
        return self.host.wait(
            lambda member, view: member.role == "replica" and member.is_linked and view.is_well,
            self.params["timeout_seconds"],
            "another primary, and this one connected to it",
        ).role

    def keep(self):
        """Nobody leads or is counted that left."""
        stay, view = self.params["addresses"], self.host.view()
        others = len(stay) - 1
        is_led_by_leaver = view.primary not in stay
        counts_leavers = view.sentinels > len(stay) or view.replicas > others
        if not is_led_by_leaver and not counts_leavers:
            return
        before = f"primary {view.primary}, {view.sentinels} Sentinels, {view.replicas} replicas\n"
        after = f"one of {', '.join(stay)}, {len(stay)} Sentinels, {others} replicas\n"
        self.result.update(changed=True, diff={"before": before, "after": after})
        if self.module.check_mode:
            return
        seconds = self.params["timeout_seconds"]
        if is_led_by_leaver:
            self.host.fail_over()
            self.host.wait(lambda _member, now: now.primary in stay, seconds, after)
        self.host.deregister_others()
        self.host.wait(lambda _member, now: now.is_well and now.replicas >= others, seconds, after)

    def wait_until_ready(self):
        wanted = self.params["members"]

        def is_ready(member, view):
            agree = view.sentinels >= wanted and view.is_well
            if member.role == "primary":
                return agree and (wanted == 1 or member.replicas > 0)
            return agree and member.is_linked and member.primary == view.primary

        expected = (
            f"a primary or a replica that is connected, and {wanted} Sentinels or more that agree"
        )
        return self.host.wait(is_ready, self.params["timeout_seconds"], expected).role

    def data(self):
        directory = self.params["data_directory"] or ""
        has_data = any(os.path.exists(os.path.join(directory, n)) for n in ("dump.rdb", "member"))
        begun = os.path.exists(os.path.join(directory, "redis.conf"))
        return {"data": "primary" if directory and has_data else "none", "has_begun": begun}


def main():
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6379},
            "sentinel_port": {"type": "int", "default": 26379},
            "password": {"type": "str", "required": True, "no_log": True},
            "data_directory": {"type": "path"},
            "members": {"type": "int", "default": 1},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "state": {
                "type": "str",
                "choices": ["seen", "handed_over", "kept", "ready"],
                "required": True,
            },
            "timeout_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = ClusterMember(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
