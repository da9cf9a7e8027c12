# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""PostgreSQL by an operator that the cluster has (CloudNativePG), in place of a StatefulSet. Pure.

What the role says of its server becomes a Cluster of the operator: database, owner and parameters
out of the definition, the password in a Secret as the operator reads it. The operator makes pods,
claims, and the Services by which clients find the primary. Backups are its owner's to declare.
"""

from __future__ import annotations

import base64

from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.labels import PART_OF
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import (
    connections,
    pod,
    policies,
    storage,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    CLOUDNATIVE_PG,
    KubernetesError,
    object_named,
    quantity,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    Unit,
    peers,
)

POSTGRES = "postgres"
# Where an instance listens, whatever anybody says.
PRIMARY_PORT = 5432
# Where the operator, and in newer versions the primary, asks an instance how it is.
STATUS_PORT = 8000
# Where pods find the API server unless the site says it, once its Service's address is resolved.
API_PORTS = (443, 6443)
# As the role makes its own data: for ever, as indexes are sorted by it.
LOCALE = {"encoding": "UTF8", "localeCollate": "C.UTF-8", "localeCType": "C.UTF-8"}
SECRET_KEYS = ("password", "username")


def is_meant(unit: Unit) -> bool:
    """Whether an operator runs the service."""
    said = unit.target.site.postgres.get("operator")
    return unit.service.name == POSTGRES and said == CLOUDNATIVE_PG


def objects(unit: Unit) -> list[dict]:
    """The policy of its pods, the Secret with its owner's password, and the Cluster."""
    _check(unit)
    return [_policy(unit), *_secret(unit), _cluster(unit)]


def needed_secret(unit: Unit) -> dict | None:
    """Name and keys of the Secret that has to be there before the operator makes the database."""
    if unit.target.with_secrets and not _existing(unit):
        return None
    return {"service": POSTGRES, "name": _secret_name(unit), "keys": [*SECRET_KEYS]}


def _check(unit: Unit) -> None:
    said, target = unit.target.site.postgres, unit.target
    if not said.get("image"):
        raise KubernetesError(
            "kubernetes_postgres has an operator and no image",
            "one that the operator runs, where the nodes pull it: its own default is elsewhere",
            "set kubernetes_postgres.image, say to registry.example.internal/postgresql:17",
        )
    if unit.service.port != PRIMARY_PORT:
        raise KubernetesError(
            f"platform_postgres_port is {unit.service.port}",
            f"{PRIMARY_PORT}, the only one of CloudNativePG",
            "leave it out, or leave kubernetes_postgres.operator out",
        )
    if sources := connections.from_hosts(target.topology, target.host, unit.service):
        raise KubernetesError(
            f"hosts outside use PostgreSQL in the cluster ({', '.join(sources)})",
            "clients in the cluster alone, which find the primary by the operator's Service",
            "put LiteLLM into the cluster, too, or leave kubernetes_postgres.operator out",
        )
    if _existing(unit).get("keys"):
        raise KubernetesError(
            "kubernetes_secrets.postgres has keys",
            f"a Secret of type kubernetes.io/basic-auth with {' and '.join(SECRET_KEYS)}",
            "leave keys out: CloudNativePG reads no others",
        )


def _policy(unit: Unit) -> dict:
    """What clients and replicas may, and what the operator and its programs in the pods need."""
    said = unit.target.site.postgres
    if not (operator := peers(said)):
        raise KubernetesError(
            "kubernetes_postgres names neither a namespace nor networks",
            "where the operator's pods run, which ask each instance how it is",
            "set kubernetes_postgres.namespace, say to cnpg-system",
        )
    networks = said.get("api_networks") or unit.target.site.networks.get("nodes", [])
    if not networks:
        raise KubernetesError(
            "where the cluster's API server is, is not known",
            "its networks: each instance of CloudNativePG asks it",
            "set kubernetes_networks.nodes, or kubernetes_postgres.api_networks",
        )
    policy = policies.of(unit)
    spec, others = policy["spec"], [{"podSelector": {"matchLabels": unit.identity}}]
    asked, status = _tcp(PRIMARY_PORT, STATUS_PORT), _tcp(STATUS_PORT)
    rules = [{"from": operator, "ports": asked}, {"from": others, "ports": status}]
    spec["ingress"] = [*spec.get("ingress", []), *rules]
    rules = [rule for rule in spec["egress"] if rule != policies.dns(unit)]
    api = [{"ipBlock": {"cidr": network}} for network in networks]
    spec["egress"] = [
        *rules,
        {"to": others, "ports": status},
        {"to": api, "ports": _tcp(*said.get("api_ports", API_PORTS))},
        policies.dns(unit),
    ]
    return policy


def _tcp(*ports: int) -> list[dict]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _existing(unit: Unit) -> dict:
    return unit.target.site.secrets.get(POSTGRES, {})


def _secret_name(unit: Unit) -> str:
    """The site's, or the one that the operator would make for the owner of the database."""
    if given := _existing(unit):
        return object_named("kubernetes_secrets.postgres.name", given.get("name"))
    return f"{unit.name}-app"


def _secret(unit: Unit) -> list[dict]:
    if needed_secret(unit):
        return []
    definition = unit.definition
    values = (definition["secrets"]["password"], definition["env"]["POSTGRES_USER"])
    encoded = (base64.b64encode(str(value).encode()).decode() for value in values)
    metadata = unit.meta(_secret_name(unit))
    metadata["labels"]["cnpg.io/reload"] = "true"  # another password is set in the database
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/basic-auth",
            "data": dict(zip(SECRET_KEYS, encoded, strict=True)),
        }
    ]


def _cluster(unit: Unit) -> dict:
    site, env = unit.target.site, unit.definition["env"]
    instances = site.replicas_of(POSTGRES)
    postgresql: dict = {"parameters": _parameters(unit.definition["command"])}
    if instances > 1:
        # A commit waits for a second instance while there is one, as on hosts.
        synchronous = {"method": "any", "number": 1, "dataDurability": "preferred"}
        postgresql["synchronous"] = synchronous
    spec = {
        "instances": instances,
        "imageName": site.postgres["image"],
        "inheritedMetadata": {"labels": {**PART_OF, **unit.identity}},
        "bootstrap": {
            "initdb": {
                "database": env["POSTGRES_DB"],
                "owner": env["POSTGRES_USER"],
                **LOCALE,
                "secret": {"name": _secret_name(unit)},
            }
        },
        "postgresql": postgresql,
        "storage": _storage(unit),
        "resources": pod.resources(unit),
        "affinity": {"enablePodAntiAffinity": True, "topologyKey": pod.HOSTNAME},
        "enablePDB": instances > 1,
    }
    if names := pod.pull_secrets(unit):
        spec["imagePullSecrets"] = names
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": unit.meta(),
        "spec": spec,
    }


def _parameters(command: list) -> dict[str, str]:
    """What the role tells its server on the command line: -c NAME=VALUE."""
    words = [str(word) for word in command]
    settings = [words[n + 1] for n, word in enumerate(words[:-1]) if word == "-c"]
    return dict(setting.split("=", 1) for setting in settings)


def _storage(unit: Unit) -> dict:
    (name,) = unit.definition["volumes"]
    said = storage.declared(unit, name)
    place = f"kubernetes_volumes.{POSTGRES}.{name}"
    if "size" not in said:
        raise KubernetesError(
            f"{place} is {said}",
            "size, with storage_class where it is not the default: CloudNativePG makes the claims",
            "set its size",
        )
    found = {"size": quantity(f"{place}.size", said["size"])}
    return found | ({"storageClass": said["storage_class"]} if said.get("storage_class") else {})
