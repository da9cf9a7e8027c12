#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_usage_info
short_description: Calls of MCP tools of each person and team
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Counts calls of tools in the audit log of a gateway on this host, or in what the gateway's pods
    in a cluster said. Changes nothing.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - Reads in check mode as it does otherwise.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  path:
    description: The audit log's newest file. Older ones are beside it, with a number appended.
    type: path
  namespace:
    description: Instead of O(path), where the gateway's pods are, of which O(kubeconfig) is needed.
    type: str
  kubeconfig:
    description: The kubeconfig on the host that runs the module.
    type: path
  context:
    description: One of its contexts. Empty means the current one.
    type: str
    default: ""
  keep_files:
    description: How many older files the gateway keeps (C(gateway_audit_keep_files)).
    type: int
    default: 20
  since:
    description: The first day, in UTC, such as V(2027-01-01).
    type: str
    required: true
  until:
    description: The last day, in UTC, which is included.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Who called which tool in January
  intranet.mcp.gateway_usage_info:
    path: /var/lib/intranet-mcp/gateway/audit/audit.jsonl
    since: 2027-01-01
    until: 2027-01-31
  register: january

- name: The same of the gateway's pods
  intranet.mcp.gateway_usage_info:
    kubeconfig: ~/.kube/config
    namespace: intranet-mcp
    since: 2027-01-01
    until: 2027-01-31
"""

RETURN = r"""
calls:
  description: An entry a caller and tool.
  returned: success
  type: list
  elements: dict
  contains:
    caller:
      description: The alias of the caller's key, or the name in its token.
      type: str
    team:
      description: The caller's team. Empty for none.
      type: str
    server:
      description: The server of the tool. Empty where none has it.
      type: str
    tool:
      description:
        - The tool. Empty where no server has it, V((others\)) where names are too many to list.
      type: str
    calls:
      description: Calls that were let through, those that failed among them.
      type: int
    failed:
      description: Calls that failed, were cancelled, or that the tool answered with an error.
      type: int
    refused:
      description: Calls that were not let through.
      type: int
  sample:
    - caller: alice
      team: payments
      server: filesystem
      tool: read_file
      calls: 210
      failed: 2
      refused: 0
begins:
  description: The day of the oldest line. Empty where there is none.
  returned: success
  type: str
  sample: "2026-12-24"
is_whole:
  description:
    - Whether the log still holds every line since O(since). Never so of pods, since one that is
      gone took its log along.
  returned: success
  type: bool
  sample: true
pods:
  description: The pods whose logs were read. Empty with O(path).
  returned: success
  type: list
  elements: str
  sample: [gateway-6d4b75cb6d-hx2q7]
unreadable:
  description: Lines that are none, as a full disk leaves them.
  returned: success
  type: int
  sample: 0
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unknown
    found: the audit log /audit/audit.jsonl cannot be read (permission denied)
    expected: a file that this task may read
    action: run it as root (become), or correct path
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import client, kubeconfig
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import audit

PODS = "app.kubernetes.io/name=gateway"


def said(wanted):
    """What the gateway's pods said since the first day, by their names."""
    access = kubeconfig.read(wanted["kubeconfig"], wanted["context"])
    cluster, namespace = client.ClusterClient(access), wanted["namespace"]
    since = f"{wanted['since']}T00:00:00Z"
    names = [pod["metadata"]["name"] for pod in cluster.pods(namespace, PODS)]
    return {
        name: b"".join(
            cluster.log_since(namespace, name, since, before) for before in (True, False)
        )
        for name in names
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "namespace": {"type": "str"},
            "kubeconfig": {"type": "path"},
            "context": {"type": "str", "default": ""},
            "keep_files": {"type": "int", "default": 20},
            "since": {"type": "str", "required": True},
            "until": {"type": "str", "required": True},
        },
        required_one_of=[("path", "namespace")],
        mutually_exclusive=[("path", "namespace")],
        required_by={"namespace": ["kubeconfig"]},
        supports_check_mode=True,
    )
    wanted = module.params
    if wanted["namespace"] and kubeconfig.yaml is None:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    since, until = wanted["since"], wanted["until"]
    try:
        if wanted["namespace"]:
            found = audit.calls_of_pods(said(wanted), since, until)
        else:
            found = audit.calls(wanted["path"], since, until, wanted["keep_files"])
    except ServiceError as error:
        fail(module, error)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
