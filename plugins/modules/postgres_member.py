#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_member
short_description: Inspects a host's member of a PostgreSQL cluster, and hands the primary role over
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Speaks to Patroni's REST API on the member's own host. Patroni decides who leads; this module
    only asks it to.
  - Where Patroni does not run yet there is nothing to do.
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
  url:
    description: Address of Patroni's REST API.
    type: str
    default: http://127.0.0.1:8008
  name:
    description: The member's name in the cluster, the host's in the inventory.
    type: str
    required: true
  password:
    description: Password of Patroni's user C(patroni), for what changes something.
    type: str
  data_directory:
    description: Where the member's data lies on this host, to tell a primary's from a replica's.
    type: path
  agreement_directory:
    description: Where etcd's data lies on this host. It is there once a cluster has begun.
    type: path
  members:
    description: Names of the members that may lead, for O(state=led).
    type: list
    elements: str
    default: []
  settings:
    description: Settings that all members share, for O(state=configured).
    type: dict
    default: {}
  state:
    description:
      - V(configured) tells the cluster O(settings) that differ, if this member leads.
      - V(handed_over) makes another member the primary, if this one is. No committed transaction
        is lost. Where no other member is fit to lead this fails, unless there is no other.
      - V(led) lets one of O(members) lead, where the one that does is none of them, as a host that
        leaves the cluster.
      - V(ready) waits until this member leads, or follows the one that does without lag.
    type: str
    choices: [configured, handed_over, led, ready]
    required: true
  timeout_seconds:
    description: Longest wait.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Hand the lead over before the container is replaced
  intranet.mcp.postgres_member:
    name: data1
    password: "{{ lookup('intranet.mcp.secret', 'patroni_password') }}"
    state: handed_over

- name: Wait until it follows again
  intranet.mcp.postgres_member:
    name: data1
    state: ready
"""

RETURN = r"""
role:
  description: What the member is now, V(primary), V(replica), or empty where nobody answers.
  returned: success
  type: str
  sample: replica
data:
  description: Whose data lies on this host, V(primary), V(replica) or V(none).
  returned: success
  type: str
  sample: replica
has_begun:
  description: Whether this host has taken part in a cluster before.
  returned: success
  type: bool
  sample: true
members:
  description: What is known of each member, in words.
  returned: success
  type: list
  elements: str
  sample: ["data1 (leader, running)", "data2 (sync_standby, streaming, no lag)"]
settings:
  description: Settings that were, or in check mode would be, changed.
  returned: success
  type: dict
  sample: {ttl: 20}
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: not_ready
    found: "after 60 s the cluster is: data1 (replica, starting, lag unknown)"
    expected: data1 leads, or follows without lag
    action: read the log of the container postgres on data1
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import (
    LAG_BYTES,
    Cluster,
    Patroni,
    patch_of,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    ServiceError,
    Unreachable,
    fail,
)


class ClusterMember:
    """The member on this host, from what it is to what it should be."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.name = self.params["name"]
        self.patroni = Patroni(self.params["url"], self.name, self.params["password"] or "")
        self.result = {"changed": False, "settings": {}, "diff": {"before": "", "after": ""}}

    def run(self):
        if self.params["state"] == "ready":
            cluster = self.wait_until_ready()
        else:
            cluster = self.read()
            if self.params["state"] == "led":
                cluster = self.lead(cluster)
            elif self.leads(cluster):
                cluster = self.configure(cluster) if self.is_configuring else self.give(cluster)
        return {**self.result, **self.facts(cluster)}

    @property
    def is_configuring(self):
        return self.params["state"] == "configured"

    def read(self):
        """The cluster; an empty one where Patroni does not run."""
        try:
            return self.patroni.cluster()
        except Unreachable:
            return Cluster(())

    def leads(self, cluster):
        member = cluster.member(self.name)
        return member is not None and member.is_leader

    def configure(self, cluster):
        present = self.patroni.settings()
        patch = patch_of(self.params["settings"], present) if present else {}
        if patch:
            before = {key: present.get(key) for key in patch}
            self.changed(f"{before}\n", f"{patch}\n")
            self.result["settings"] = patch
            if not self.module.check_mode:
                self.patroni.change_settings(patch)
        return cluster

    def give(self, cluster):
        """Let another lead, where there is another."""
        if len(cluster.members) == 1:
            return cluster
        self.changed(f"{self.name} leads\n", "another member leads\n")
        if self.module.check_mode:
            return cluster
        seconds = self.params["timeout_seconds"]
        self.patroni.switch_over(seconds)
        return self.patroni.wait(
            lambda now: bool(now.leaders) and not self.leads(now),
            seconds,
            "another member that leads",
        )

    def lead(self, cluster):
        """Let one lead that stays, where the one that leads does not."""
        stay = self.params["members"]
        leaving = [member.name for member in cluster.leaders if member.name not in stay]
        if not leaving:
            return cluster
        fit = [member for member in cluster.members if member.name in stay and member.is_well]
        fit.sort(key=lambda member: member.role != "sync_standby")
        if not fit:
            raise NotReady(
                f"{leaving[0]} leads and is to leave, and no other is fit: {cluster}",
                f"one of {', '.join(stay)} that streams",
                "wait until one has copied the data, then run the playbook again",
            )
        self.changed(f"{leaving[0]} leads\n", f"{fit[0].name} leads\n")
        if self.module.check_mode:
            return cluster
        seconds = self.params["timeout_seconds"]
        self.patroni.switch_over(seconds, leaving[0], fit[0].name)
        return self.patroni.wait(
            lambda now: any(member.name in stay for member in now.leaders),
            seconds,
            f"{fit[0].name} leads",
        )

    def wait_until_ready(self):
        def is_ready(cluster):
            member = cluster.member(self.name)
            return member is not None and bool(cluster.leaders) and member.is_within(LAG_BYTES)

        expected = f"{self.name} leads, or follows without lag"
        return self.patroni.wait(is_ready, self.params["timeout_seconds"], expected)

    def changed(self, before, after):
        self.result.update(changed=True, diff={"before": before, "after": after})

    def facts(self, cluster):
        member = cluster.member(self.name)
        role = "" if member is None else "primary" if member.is_leader else "replica"
        return {
            "role": role,
            "data": data_of(self.params["data_directory"]),
            "has_begun": os.path.isdir(self.params["agreement_directory"] or ""),
            "members": [str(found) for found in cluster.members],
        }


def data_of(directory):
    """Whose data lies there."""
    if not directory or not os.path.exists(os.path.join(directory, "PG_VERSION")):
        return "none"
    follows = os.path.exists(os.path.join(directory, "standby.signal"))
    return "replica" if follows else "primary"


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8008"},
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "data_directory": {"type": "path"},
            "agreement_directory": {"type": "path"},
            "members": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "dict", "default": {}},
            "state": {
                "type": "str",
                "choices": ["configured", "handed_over", "led", "ready"],
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
