# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a site says of its cluster: sizes, storage, networks, who else may connect. Pure.

Each field of Site is a variable of the role `kubernetes` without its prefix. Everything is read
before an object is rendered, so that a wrong word is one message that names it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, fields

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

DEPLOYMENT, STATEFUL_SET = "Deployment", "StatefulSet"
CLOUDNATIVE_PG = "cloudnative_pg"
INGRESS, HTTP_ROUTE, NONE = "ingress", "http_route", "none"
SERVICE_MONITOR, ANNOTATIONS = "service_monitor", "annotations"
# Controllers of Ingress, and how each is told for how long a model may be silent. Both of HAProxy
# end such an answer after 50 s by default; Traefik never does.
SILENCE = {
    "traefik": "",
    "haproxy": "haproxy.org/timeout-server",
    "haproxy_ingress": "haproxy-ingress.github.io/timeout-server",
}

# The cluster's own networks.
OWN = ("pods", "services", "nodes")
# What each mapping may say. `*`: of each service; `**`: of each volume of each service.
KEYS = {
    "autoscaling.*": ("max", "cpu_percent", "metrics"),
    "directories.*": ("claim",),
    "dns": ("namespace", "labels", "networks", "ports"),
    "gpu": ("resource", "count", "device_class", "node_selector", "tolerations"),
    "ingress": (
        *("kind", "class", "controller", "annotations", "tls_secret", "parent"),
        *("namespace", "labels", "networks"),
    ),
    "ingress.parent": ("name", "namespace", "section"),
    "load_balancer": ("class", "annotations"),
    "metrics": ("kind", "labels_of_monitor", "interval_seconds", "namespace", "labels", "networks"),
    "networks": ("pods", "services", "nodes", "outbound"),
    "postgres": (
        *("operator", "image", "namespace", "labels", "networks"),
        *("api_networks", "api_ports"),
    ),
    "secrets.*": ("name", "keys", "revision"),
    "volumes.**": ("size", "storage_class", "access", "scratch", "claim"),
}
CHOICES = {
    ("ingress", "kind"): (INGRESS, HTTP_ROUTE, NONE),
    ("ingress", "controller"): (*SILENCE,),
    ("postgres", "operator"): (CLOUDNATIVE_PG,),
    ("metrics", "kind"): (SERVICE_MONITOR, ANNOTATIONS, NONE),
}
_QUANTITY = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<suffix>m|k|[KMGTPE]i?)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class KubernetesError(ServiceError):
    """Something that a cluster cannot be told, in the inventory or in a definition."""

    reason = "kubernetes"


@dataclass(frozen=True)
class Site:
    """The site's own data; roles/kubernetes/meta/argument_specs.yml explains each."""

    namespace: str
    replicas: dict = field(default_factory=dict)
    autoscaling: dict = field(default_factory=dict)
    volumes: dict = field(default_factory=dict)
    directories: dict = field(default_factory=dict)
    cpu: dict = field(default_factory=dict)
    gpu: dict = field(default_factory=dict)
    secrets: dict = field(default_factory=dict)
    random_uids: bool = False
    has_namespace: bool = False
    dns: dict = field(default_factory=dict)
    networks: dict = field(default_factory=dict)
    ingress: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    postgres: dict = field(default_factory=dict)
    load_balancer: dict = field(default_factory=dict)
    image_pull_secrets: tuple = ()
    drain_seconds: int = 10

    def replicas_of(self, service: str) -> int:
        """How many there are at least."""
        return int(self.replicas.get(service, 1))

    def most_of(self, service: str) -> int:
        """How many there may be."""
        return int(self.autoscaling.get(service, {}).get("max", self.replicas_of(service)))

    def closed_networks(self) -> list[str]:
        """The cluster's own networks, which no egress of a service means."""
        return [network for key in OWN for network in self.networks.get(key, [])]


def read(given: dict, known: list[str]) -> Site:
    """The site's data, checked. known: names of the catalog's services."""
    unknown = sorted(set(given) - {f.name for f in fields(Site)})
    if unknown:
        raise KubernetesError(
            f"kubernetes_{unknown[0]} is no variable of the role",
            f"one of {', '.join('kubernetes_' + f.name for f in fields(Site))}",
            "correct its name",
        )
    for place, keys in KEYS.items():
        for name, found in _mappings(given, place):
            _check_keys(name, found, keys)
    for name in ("replicas", "autoscaling", "volumes", "cpu", "secrets"):
        _check_services(name, given.get(name, {}), known)
    for (name, key), choices in CHOICES.items():
        chosen = given.get(name, {}).get(key)
        if chosen is not None and chosen not in choices:
            raise KubernetesError(
                f"kubernetes_{name}.{key} is {chosen!r}",
                f"one of {', '.join(choices)}",
                "correct it",
            )
    _check_networks(given)
    _check_numbers(given)
    namespace = given.get("namespace", "")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise KubernetesError(
            f"kubernetes_namespace is {namespace!r}",
            "up to 63 of a-z, 0-9 and '-'",
            "name the namespace that the platform has for itself",
        )
    return Site(**{**given, "image_pull_secrets": tuple(given.get("image_pull_secrets", ()))})


def quantity(place: str, value: object) -> str:
    """An amount as the API reads it."""
    if not _QUANTITY.fullmatch(str(value)):
        raise KubernetesError(
            f"{place} is {value!r}", "an amount such as 20Gi or 500m", "correct it"
        )
    return str(value)


def object_named(place: str, value: object) -> str:
    """The name of an object that the site has."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise KubernetesError(
            f"{place} is {value!r}", "the name of an object in the namespace", "correct it"
        )
    return value


def bytes_of(place: str, value: object) -> int:
    """An amount of storage as a number."""
    found = _QUANTITY.fullmatch(quantity(place, value))
    number, suffix = float(found["number"]), found["suffix"] or ""
    if suffix.endswith("i"):
        return int(number * 1024 ** (1 + "KMGTPE".index(suffix[0])))
    powers = {"": 0, "m": -1, "k": 1}
    return int(number * 1000 ** powers.get(suffix, 1 + "KMGTPE".find(suffix)))


def _mappings(given: dict, place: str):
    """Yield the mappings at a place of KEYS, each with its name."""
    name, *rest = place.split(".")
    found = [(f"kubernetes_{name}", given.get(name) or {})]
    for part in rest:
        depth = len(part) if set(part) == {"*"} else 0
        for _level in range(depth):
            found = [(f"{n}.{k}", v) for n, inner in found for k, v in _dict(n, inner).items()]
        if not depth:
            found = [(f"{n}.{part}", _dict(n, inner).get(part) or {}) for n, inner in found]
    yield from ((where, _dict(where, value)) for where, value in found)


def _dict(place: str, value: object) -> dict:
    if not isinstance(value, dict):
        raise KubernetesError(f"{place} is {value!r}", "a mapping", "correct it")
    return value


def _check_keys(place: str, found: dict, keys: tuple[str, ...]) -> None:
    if unknown := sorted(set(found) - set(keys)):
        raise KubernetesError(
            f"{place} has the key {unknown[0]!r}", f"only {', '.join(keys)}", "correct its name"
        )


def _check_services(name: str, found: dict, known: list[str]) -> None:
    if strange := sorted(set(found) - set(known)):
        raise KubernetesError(
            f"kubernetes_{name} has the service {strange[0]!r}",
            f"services of the catalog: {', '.join(sorted(known))}",
            "correct its name, or leave it out",
        )


def _check_networks(given: dict) -> None:
    places = [
        (f"networks.{key}", given.get("networks", {}).get(key, [])) for key in KEYS["networks"]
    ]
    places += [
        (f"{n}.networks", given.get(n, {}).get("networks", []))
        for n in ("dns", "ingress", "metrics", "postgres")
    ]
    places.append(
        ("postgres.api_networks", given.get("postgres", {}).get("api_networks", [])),
    )
    for place, networks in places:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise KubernetesError(
                    f"kubernetes_{place} has {network!r} ({error})",
                    "networks such as 10.244.0.0/16",
                    "correct it",
                ) from error


def _check_numbers(given: dict) -> None:
    for service, count in given.get("replicas", {}).items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise KubernetesError(
                f"kubernetes_replicas.{service} is {count!r}",
                "a number from 1 on",
                "correct it; a service that is not to run has no host in its group",
            )
    for service, bounds in given.get("autoscaling", {}).items():
        least = given.get("replicas", {}).get(service, 1)
        if not isinstance(bounds.get("max"), int) or bounds["max"] < least:
            raise KubernetesError(
                f"kubernetes_autoscaling.{service}.max is {bounds.get('max')!r}",
                f"a number from kubernetes_replicas.{service} ({least}) on",
                "correct one of them",
            )
        if not bounds.get("cpu_percent") and not bounds.get("metrics"):
            raise KubernetesError(
                f"kubernetes_autoscaling.{service} has nothing to scale by",
                "cpu_percent, metrics or both",
                "add one",
            )
