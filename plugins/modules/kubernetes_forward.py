#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_forward
short_description: A port of a cluster's service on the host that runs the module
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Listens on a port of the loopback interface, and connects it to ready pods of a service, or to
    one pod, through the API server, as C(kubectl port-forward) does. So other modules reach what no
    entry serves.
  - Goes on until O(place) is removed, or O(seconds) are over. Run it with C(async) and C(poll=0).
notes:
  - Needs the right to get and create C(pods/portforward) in the namespace.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.kubernetes
attributes:
  check_mode:
    support: full
    details:
      - Runs the same way, since it changes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  namespace:
    description: Where the pods are.
    type: str
    required: true
  service:
    description: Whose ready pods they are, the value of their label C(app.kubernetes.io/name).
    type: str
  pod:
    description: Instead of O(service), the name of one pod, which need not be ready.
    type: str
  port:
    description: The port on which they listen.
    type: int
    required: true
  place:
    description: File that gets the number of the port of this host, once it is there.
    type: path
    required: true
  seconds:
    description: After how long it ends in any case.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Reach LiteLLM from here
  intranet.mcp.kubernetes_forward:
    kubeconfig: ~/.kube/config
    namespace: intranet-mcp
    service: litellm
    port: 4000
    place: /run/user/1000/litellm.port
  async: 600
  poll: 0

- name: Reach the first pod of Ollama, which waits for its models
  intranet.mcp.kubernetes_forward:
    kubeconfig: ~/.kube/config
    namespace: intranet-mcp
    pod: ollama-0
    port: 11434
    place: /run/user/1000/ollama.port
  async: 600
  poll: 0
"""

RETURN = r"""
port:
  description: The port of this host, which nobody listens on any more.
  returned: success
  type: int
  sample: 40123
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unknown
    found: the kubeconfig /root/.kube/config cannot be read (no such file)
    expected: a kubeconfig that this user may read
    action: correct kubernetes_kubeconfig
"""

import itertools
import os
import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    ServiceError,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import (
    client,
    kubeconfig,
    rollout,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.forward import (
    Channel,
    Relay,
)


class Pods:
    """The ready pods of a service, one after the other; or the one pod that is named."""

    def __init__(self, access, parameters):
        self._access, self._parameters = access, parameters
        self._client = client.ClusterClient(access)
        self._turn = itertools.count()

    def connect(self):
        """Open a connection to the next one."""
        pod = self._parameters["pod"] or self._next()
        return Channel(self._access, self._parameters["namespace"], pod, self._parameters["port"])

    def _next(self):
        namespace, service = self._parameters["namespace"], self._parameters["service"]
        listed = self._client.pods(namespace, f"app.kubernetes.io/name={service}")
        ready = sorted(
            pod["metadata"]["name"]
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"] and not rollout.trouble(pod)[0]
        )
        if not ready:
            raise NotReady(
                f"no pod of {service} is ready in namespace {namespace}",
                "one at least",
                "see what its pods say, and apply the inventory again",
            )
        return ready[next(self._turn) % len(ready)]


def write_port(place, port):
    """Write the number in one step: whoever waits for the file reads all of it."""
    unfinished = f"{place}.new"
    with open(unfinished, "w", encoding="utf-8") as stream:
        stream.write(str(port))
    os.replace(unfinished, place)


def main():
    module = AnsibleModule(
        argument_spec={
            **kubeconfig.ARGUMENTS,
            "namespace": {"type": "str", "required": True},
            "service": {"type": "str"},
            "pod": {"type": "str"},
            "port": {"type": "int", "required": True},
            "place": {"type": "path", "required": True},
            "seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
        required_one_of=[("service", "pod")],
        mutually_exclusive=[("service", "pod")],
    )
    if kubeconfig.yaml is None:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    place, ends_at = module.params["place"], time.monotonic() + module.params["seconds"]
    try:
        access = kubeconfig.read(module.params["kubeconfig"], module.params["context"])
        relay = Relay(Pods(access, module.params).connect)
        write_port(place, relay.port)
        relay.serve_while(lambda: os.path.exists(place) and time.monotonic() < ends_at)
    except ServiceError as error:
        fail(module, error)
    module.exit_json(changed=False, port=relay.port)


if __name__ == "__main__":
    main()
