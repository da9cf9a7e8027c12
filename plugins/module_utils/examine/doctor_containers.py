# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about the platform's containers. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import bracketed
from ansible_collections.intranet.mcp.plugins.module_utils.examine.containers import (
    DEPLOY,
    judge_state,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import (
    Rule,
    need_engine,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding


def deployed(facts, wanted):
    """One line for a host with nothing on it, instead of one a service."""
    if facts["engine"] is not None and wanted["services"] and not facts["containers"]:
        yield Finding(
            "containers",
            f"nothing of the platform is here ({len(wanted['services'])} containers missing)",
            "a deployed platform",
            DEPLOY,
        )


def states(facts, wanted):
    for service, name, container in _expected(facts, wanted):
        yield judge_state("container", name, service, container)


def network(facts, wanted):
    for service, name, container in _running(facts, wanted):
        found = ", ".join(container["networks"]) or "none"
        for network_name in wanted["services"][service]["networks"]:
            if network_name not in container["networks"]:
                yield Finding(
                    "network",
                    f"{name} is off the network {network_name} (on: {found})",
                    f"connected to {network_name}",
                    f"docker network connect --alias {service} {network_name} {name}",
                    "connect",
                    service,
                )


def foreign_networks(facts, wanted):
    """A network that a container was connected to by hand, past the catalog."""
    for service, name, container in _running(facts, wanted):
        own = wanted["services"][service]["networks"]
        for network_name in sorted({*container["networks"]} - {*own, "host"}):
            yield Finding(
                "network",
                f"{name} is on the network {network_name}",
                "no network but " + (", ".join(own) or "host"),
                DEPLOY,
                "replace",
                service,
            )


def published(facts, wanted):
    """A port that is open wider than declared was published by hand, past the catalog."""
    for service, name, container in _running(facts, wanted):
        entry = wanted["services"][service]
        expected = sorted(
            f"{bracketed(address)}:{part['port']}"
            for part in (entry, *entry.get("parts", []))
            for address in part["publish"]
        )
        if sorted(container["published"]) != expected:
            yield Finding(
                "port",
                f"{name} publishes {', '.join(sorted(container['published'])) or 'nothing'}",
                ", ".join(expected) or "nothing",
                DEPLOY,
                "replace",
                service,
            )


def images(facts, wanted):
    """A name that went to another image, as by a bundle loaded by hand, changes no container."""
    for service, name, container in _running(facts, wanted):
        known = facts["images"].get(container["image"])
        if known and known["Id"] != container["image_id"]:
            yield Finding(
                "image",
                f"{name} does not run the image that is called {container['image']} now",
                "the image of that name",
                DEPLOY,
                "replace",
                service,
            )


def logs(facts, wanted):
    for service, name, container in _running(facts, wanted):
        driver, options = container["log_driver"], container["log_options"]
        if driver == "json-file" and "max-size" not in options:
            yield Finding(
                "logs",
                f"the log of {name} grows without limit",
                "rotation (max-size)",
                DEPLOY,
                "replace",
                service,
            )


def memory(facts, wanted):
    for service, name, container in _running(facts, wanted):
        used, limit = container["memory_used"], container["memory_limit"]
        if used and limit and used * 100 > limit * wanted["memory_percent"]:
            option = wanted["services"][service]["memory_option"]
            named = f" ({option})" if option else ""
            yield Finding(
                "memory",
                f"{name} uses {used >> 20} of {limit >> 20} MiB, and is killed at the limit",
                f"at most {wanted['memory_percent']} %",
                f"raise {service}'s memory limit{named}, or restart it if it grew over weeks",
                service=service,
            )


def lookups(facts, wanted):
    """Names of others, asked in the container; a container off a network has its finding."""
    for service, name, container in _running(facts, wanted):
        if container["resolves"] is None:
            continue
        for other, resolves in sorted(container["resolves"].items()):
            peer = facts["containers"].get(other)
            is_there = peer and peer["state"] == "running"
            is_shared = is_there and {*container["networks"]} & {*peer["networks"]}
            if is_shared and not resolves:
                yield Finding(
                    "dns",
                    f"{name} cannot resolve {wanted['container_prefix']}{other}",
                    "the address of a container on its network",
                    f"docker restart {name}: the engine sets up its name service again",
                    "restart",
                    service,
                )


def _expected(facts, wanted):
    """Each service of the host, the name of its container, and the container, which may be None."""
    need_engine(facts)
    if facts["containers"]:
        for service in sorted(wanted["services"]):
            name = f"{wanted['container_prefix']}{service}"
            yield service, name, facts["containers"].get(service)


def _running(facts, wanted):
    for service, name, container in _expected(facts, wanted):
        if container is not None and container["state"] == "running":
            yield service, name, container


RULES: list[tuple[str, Rule]] = [
    ("deployment", deployed),
    ("containers", states),
    ("network", network),
    ("further networks", foreign_networks),
    ("published ports", published),
    ("images", images),
    ("log rotation of containers", logs),
    ("memory", memory),
    ("names in containers", lookups),
]
