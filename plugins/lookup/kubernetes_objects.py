# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_objects
author: intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
short_description: Service definitions as objects of a Kubernetes cluster
description:
  - Renders what the role C(service) runs in containers on other hosts as the objects of the cluster
    that the current host stands for. No cluster is asked.
  - Everything that a definition says is rendered, or refused by name.
options:
  cluster:
    description:
      - What the site says of the cluster, as the role C(kubernetes) puts it together. C(site) are
        its variables without C(kubernetes_), C(entry) what people reach, C(images) the references
        of images, C(ca_bundle) a file of authorities on the control node (empty for none),
        C(with_secrets) whether Secrets are rendered, too, C(metrics_secrets) the values of those
        that services ask Prometheus for, and C(alerts) the bounds that alert rules name.
    type: dict
    required: true
  owner:
    description: Role whose services they are. Empty for the objects that all services share.
    type: str
    default: ""
  definitions:
    description: Service definitions of that role.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Render the objects of the gateway
  ansible.builtin.set_fact:
    rendered: >-
      {{ query('intranet.mcp.kubernetes_objects', cluster=my_cluster, owner='gateway',
               definitions=[gateway_service]) | first }}
"""

RETURN = r"""
_raw:
  description: >-
    One mapping with C(objects), in the order in which they need each other, and C(secrets): those
    that the site makes itself, with C(service), C(name) and C(keys).
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unusable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects, site
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.policies import names_of
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Target
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        try:
            return [self._rendered(topology, host)]
        except (ServiceError, Unusable) as error:
            raise AnsibleLookupError(f"kubernetes_objects: {error}") from error

    def _rendered(self, topology, host):
        owner, definitions = self.get_option("owner"), self.get_option("definitions")
        cluster = self.get_option("cluster")
        store = authorities.trust_store(cluster["ca_bundle"]) if cluster["ca_bundle"] else {}
        names = names_of(topology, [definition["name"] for definition in definitions])
        target = Target(
            topology=topology,
            host=host,
            site=site.read(cluster["site"], list(topology.services)),
            images=cluster["images"],
            trust=store,
            trust_digest=authorities.digest_of(store),
            addresses={name: egress.resolve(name) for name in names},
            with_secrets=cluster["with_secrets"],
            metrics_secrets=cluster["metrics_secrets"],
            alerts=cluster["alerts"],
        )
        if not owner:
            return {
                "objects": objects.of_platform(target, cluster["entry"]),
                "secrets": objects.needed_by_platform(target, cluster["entry"]),
            }
        return {
            "objects": objects.of_owner(definitions, owner, target),
            "secrets": objects.needed_secrets(definitions, owner, target),
        }
