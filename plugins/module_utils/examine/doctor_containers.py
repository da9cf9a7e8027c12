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
    for service, container in _expected(facts, wanted):
        name = wanted["container_prefix"] + service
        yield judge_state("container", name, service, container)


def network(facts, wanted):
    for service, container in _running(facts, wanted):
        for name in wanted["services"][service]["networks"]:
            if name in container["networks"]:
                continue
            found = ", ".join(container["networks"]) or "none"
            yield Finding(
                "network",
                f"{wanted['container_prefix']}{service} is off the network {name} (on: {found})",
                f"connected to {name}",
                f"docker network connect --alias {service} {name} "
                f"{wanted['container_prefix']}{service}",
                "connect",
                service,
            )


def foreign_networks(facts, wanted):
    """A network that a container was connected to by hand, past the catalog."""
    for service, container in _running(facts, wanted):
        for name in sorted({*container["networks"]} - {*wanted["services"][service]["networks"]}):
            if name == "host":
                continue
            yield Finding(
                "network",
                f"{wanted['container_prefix']}{service} is on the network {name}",
                "no network but " + (", ".join(wanted["services"][service]["networks"]) or "host"),
                DEPLOY,
                "replace",
                service,
            )


def published(facts, wanted):
    """A port that is open wider than declared was published by hand, past the catalog."""
    for service, container in _running(facts, wanted):
        entry = wanted["services"][service]
        expected = sorted(
            f"{bracketed(address)}:{door['port']}"
            for door in (entry, *entry.get("parts", []))
            for address in door["publish"]
        )
        if sorted(container["published"]) != expected:
            yield Finding(
                "port",
                f"{wanted['container_prefix']}{service} publishes "
                f"{', '.join(sorted(container['published'])) or 'nothing'}",
                ", ".join(expected) or "nothing",
                DEPLOY,
                "replace",
                service,
            )


def images(facts, wanted):
    """A name that went to another image, as by a bundle loaded by hand, changes no container."""
    for service, container in _running(facts, wanted):
        known = facts["images"].get(container["image"])
        if known and known["Id"] != container["image_id"]:
            yield Finding(
                "image",
                f"{wanted['container_prefix']}{service} does not run the image that is called "
                f"{container['image']} now",
                "the image of that name",
                DEPLOY,
                "replace",
                service,
            )


def logs(facts, wanted):
    for service, container in _running(facts, wanted):
        driver, options = container["log_driver"], container["log_options"]
        if driver == "json-file" and "max-size" not in options:
            yield Finding(
                "logs",
                f"the log of {wanted['container_prefix']}{service} grows without limit",
                "rotation (max-size)",
                DEPLOY,
                "replace",
                service,
            )


def memory(facts, wanted):
    for service, container in _running(facts, wanted):
        used, limit = container["memory_used"], container["memory_limit"]
        if used and limit and used * 100 > limit * wanted["memory_percent"]:
            yield Finding(
                "memory",
                f"{wanted['container_prefix']}{service} uses {used >> 20} of {limit >> 20} MiB, "
                "and is killed at the limit",
                f"at most {wanted['memory_percent']} %",
                f"raise {service}'s memory limit ({service}_memory_mb), or restart it if it grew "
                "over weeks",
                service=service,
            )


def lookups(facts, wanted):
    """Names of others, asked in the container; a container off a network has its finding."""
    for service, container in _running(facts, wanted):
        if container["resolves"] is None:
            continue
        for other, resolves in sorted(container["resolves"].items()):
            peer = facts["containers"].get(other)
            is_there = peer and peer["state"] == "running"
            is_shared = is_there and {*container["networks"]} & {*peer["networks"]}
            if is_shared and not resolves:
                yield Finding(
                    "dns",
                    f"{wanted['container_prefix']}{service} cannot resolve "
                    f"{wanted['container_prefix']}{other}",
                    "the address of a container on its network",
                    f"docker restart {wanted['container_prefix']}{service}: the engine sets up its "
                    "name service anew",
                    "restart",
                    service,
                )


def _expected(facts, wanted):
    need_engine(facts)
    if facts["containers"]:
        for service in sorted(wanted["services"]):
            yield service, facts["containers"].get(service)


def _running(facts, wanted):
    for service, container in _expected(facts, wanted):
        if container is not None and container["state"] == "running":
            yield service, container


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
