# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a service definition means on Docker, decided without touching Docker.

`specs` turns definitions into files and container parameters; `plan` compares them with what the
daemon reports. The role `service` only carries out what these two return.
"""

from __future__ import annotations

import hashlib
import json
import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    PLATFORM,
    role_of,
)

LABEL_SERVICE = "intranet.mcp.service"
LABEL_OWNER = "intranet.mcp.owner"
LABEL_HASH = "intranet.mcp.hash"
# On networks: what the platform's networks are called, which tells it from others on this engine.
LABEL_NETWORK = "intranet.mcp.network"

# The API (of engine 25) that has an interval of its own for a container that starts.
CHECKS_WHILE_STARTING = (1, 44)
# How long a container that was healthy is left alone between two checks.
SELDOM_SECONDS = 20

# Why a container is recreated although it runs.
CHANGED = "definition or configuration changed"
NEW_IMAGE = "image changed"

# Exports every file of /secrets/env under its own name, then becomes the service: for programs
# that take secrets from the environment only. `docker inspect` shows the loop, not the values.
_WITH_SECRETS = (
    'for file in /secrets/env/*; do export "${file##*/}=$(cat "$file")"; done; exec "$@"'
)

# Where the engine separates containers by SELinux (`selinux-enabled`), they reach directories of
# the host only with its label, and this lets it label them; elsewhere it does nothing. Only for the
# platform's own directories: what the site mounts may belong to other services of the host, too.
LABELLED = "z"

KEYS = {
    "name",
    "image",
    "user",
    "entrypoint",
    "command",
    "env",
    "files",
    "secrets",
    "secret_env",
    "volumes",
    "binds",
    "tmpfs",
    "health",
    "read_only",
    "capabilities",
    "memory_mb",
    "shm_mb",
    "pids",
    "stop_seconds",
    "gpus",
    "prepare",
    "reload",
    "extra_hosts",
    "host_network",
    "hand_over",
}
_REQUIRED_KEYS = {"name", "image", "user", "command", "health", "memory_mb"}


def specs(definitions: list[dict], context: dict) -> list[dict]:
    """Definitions as {name, directories, files, secrets, container, hash}.

    context: prefix, config_dir, data_dir, owner (the role), images (name -> reference), services
    (catalog name -> {port, inside_port, publish, parts: further ports, networks: name, interface}),
    trust (the host's trust store: path, and digest, empty where the site has no authority).
    """
    return [_spec(check(definition), context) for definition in definitions]


def check(definition: dict) -> dict:
    name = definition.get("name", "?")
    unknown = sorted(set(definition) - KEYS)
    if unknown:
        raise Unusable(
            f"service {name!r}: unknown key {', '.join(unknown)}; "
            f"known are {', '.join(sorted(KEYS))}"
        )
    missing = sorted(_REQUIRED_KEYS - set(definition))
    if missing:
        raise Unusable(f"service {name!r}: missing key {', '.join(missing)}")
    user = str(definition["user"])
    if not re.fullmatch(r"(0|[1-9][0-9]*):(0|[1-9][0-9]*)", user):
        raise Unusable(
            f"service {name!r}: user is {user!r}; expected numbers 'uid:gid', "
            "because secrets are handed to exactly this user"
        )
    # Docker hands capabilities to root only, so who administers the host's network is root, with
    # these capabilities and no others. Who reads files of the host's root is root with none at all.
    capabilities, binds = definition.get("capabilities"), definition.get("binds", [])
    administers = definition.get("host_network") and capabilities
    reads = not capabilities and binds and all(_is_read_only(bind) for bind in binds)
    if user.startswith("0:") and not (administers or reads):
        raise Unusable(f"service {name!r}: runs as root; give it a user of its own")
    return definition


def _is_read_only(bind: str) -> bool:
    return "ro" in bind.rpartition(":")[2].split(",")


def summary(found: list[dict]) -> dict:
    """Specs without their secrets, by name: enough to compare what runs with what is defined."""
    return {
        spec["name"]: {
            "name": spec["name"],
            "hash": spec["hash"],
            "image": spec["container"]["image"],
            "files": {
                file["path"]: hashlib.sha256(file["content"].encode()).hexdigest()
                for file in spec["files"]
            },
        }
        for spec in found
    }


def difference(summarized: dict, found: dict | None, image_ids: dict) -> str:
    """Return in words why a container has to be created or recreated; empty when it has not."""
    container = {"image": summarized["image"]}
    return _difference({**summarized, "container": container}, found, image_ids)


def plan(wanted: list[dict], host: dict, owner: str) -> dict:
    """What must happen so that exactly `wanted` runs.

    host: `containers` (with Labels, State, ImageID) and `images` (with RepoTags, Id) as the
    daemon lists them, and `api`, its API's version. Returns create (container parameters), remove
    (names), unchanged (names), and stop: names of those that first hand over to another host, and
    are recreated afterwards; and networks: those that are not there yet.
    """
    image_ids = {
        tag: image.get("Id") for image in host.get("images", []) for tag in image["RepoTags"] or []
    }
    running = {}
    for container in host.get("containers", []):
        labels = container.get("Labels") or {}
        if labels.get(LABEL_OWNER) == owner:
            running[labels.get(LABEL_SERVICE)] = container
    reasons = {s["name"]: _difference(s, running.get(s["name"]), image_ids) for s in wanted}
    handing_over = {name for s in wanted if reasons[s["name"]] for name in s["hand_over"]}
    stop = [s["container"]["name"] for s in wanted if s["name"] in handing_over & set(running)]
    create, unchanged = [], []
    for spec in wanted:
        reason = reasons[spec["name"]]
        if not reason and spec["container"]["name"] in stop:
            reason = "hands over to another host meanwhile"
        if reason:
            container = spec["container"]
            health = healthcheck_for(container["healthcheck"], host.get("api", "1.0"))
            create.append({**container, "healthcheck": health, "reason": reason})
        else:
            unchanged.append(spec["container"]["name"])
    names = {spec["name"] for spec in wanted}
    remove = [c["Names"][0].lstrip("/") for name, c in running.items() if name not in names]
    return {
        "create": create,
        "stop": stop,
        "remove": sorted(remove),
        "unchanged": unchanged,
        "networks": _missing_networks(wanted, host),
    }


def _missing_networks(wanted: list[dict], host: dict) -> list[dict]:
    there = {network["Name"] for network in host.get("networks", [])}
    needed = {network["name"]: network for spec in wanted for network in spec["networks"]}
    return [network for name, network in sorted(needed.items()) if name not in there]


def orphans(host: dict, catalog: dict, groups: list[str]) -> list[str]:
    """Names of containers whose service's group no longer has this host.

    host: what the daemon reports. catalog: platform_services. groups: those of this host. Owners
    that the catalog does not know are left alone.
    """
    found = []
    for container in host.get("containers") or []:
        owner = (container.get("Labels") or {}).get(LABEL_OWNER)
        entries = [entry for name, entry in catalog.items() if role_of(name, entry) == owner]
        # What every host runs leaves them only when it is off.
        needed = {e["group"] for e in entries if e["group"] != PLATFORM or e.get("enabled", True)}
        if entries and not needed & {PLATFORM, *groups}:
            found.append(container["Names"][0].lstrip("/"))
    return sorted(found)


def _difference(spec: dict, found: dict | None, image_ids: dict) -> str:
    if found is None:
        return "is not there"
    if found["Labels"].get(LABEL_HASH) != spec["hash"]:
        return CHANGED
    image = spec["container"]["image"]
    if image in image_ids and found.get("ImageID") != image_ids[image]:
        return NEW_IMAGE
    if found.get("State") != "running":
        return f"is {found.get('State')}"
    if "(unhealthy)" in found.get("Status", ""):
        return "is unhealthy"
    return ""


def _spec(definition: dict, context: dict) -> dict:
    name = definition["name"]
    uid, gid = str(definition["user"]).split(":")
    home = f"{context['config_dir']}/{name}"
    catalog = context["services"].get(name, {})
    trust = context.get("trust") or {"digest": ""}
    trusted = authorities.ENVIRONMENT if trust["digest"] else {}
    places, mounts = _places(definition, home, uid, gid)
    mounts += _volumes(definition, places, f"{context['data_dir']}/{name}")
    mounts += [f"{trust['path']}:{authorities.INSIDE}:ro,{LABELLED}"] if trusted else []
    networks = _networks(definition, catalog)
    container = {
        **_process(definition, context["images"], trusted),
        **_surroundings(definition, catalog, networks),
        "name": context["prefix"] + name,
        "volumes": mounts,
    }
    # Programs read authorities once. Those that connect to nothing outside need no restart.
    read_once = [trust["digest"]] if trusted and catalog.get("egress") else []
    digest = _hash(definition, container, places, home, read_once)
    container["labels"] = {
        LABEL_SERVICE: name,
        LABEL_OWNER: context["owner"],
        LABEL_HASH: digest,
    }
    return {
        "name": name,
        **places,
        "container": container,
        "networks": networks,
        "hash": digest,
        "hand_over": definition.get("hand_over", []),
    }


def _volumes(definition: dict, places: dict, data: str) -> list[str]:
    """Mounts of the service's data and of what the site binds; directories go to `places`."""
    uid, gid = str(definition["user"]).split(":")
    mounts, volumes = [], definition.get("volumes", {})
    if volumes:
        places["directories"].append(_directory(data, "0711", "0", "0"))
    for volume, target in volumes.items():
        places["directories"].append(_directory(f"{data}/{volume}", "0750", uid, gid))
        mounts.append(f"{data}/{volume}:{target}:rw,{LABELLED}")
    return mounts + list(definition.get("binds", []))


def _process(definition: dict, images: dict, trusted: dict) -> dict:
    """What runs, as whom, and within which limits."""
    gpu = {"NVIDIA_VISIBLE_DEVICES": "nvidia.com/gpu=all"} if definition.get("gpus") else {}
    env = {**gpu, **trusted, **definition.get("env", {})}
    entrypoint = [str(word) for word in definition.get("entrypoint", [])]
    if definition.get("secret_env"):
        entrypoint = ["/bin/sh", "-c", _WITH_SECRETS, "with-secrets"]
    return {
        "image": images.get(definition["image"], definition["image"]),
        "user": str(definition["user"]),
        "env": {key: str(value) for key, value in env.items()},
        "entrypoint": entrypoint,
        "command": [str(word) for word in definition["command"]],
        "read_only": definition.get("read_only", True),
        "tmpfs": definition.get("tmpfs", ["/tmp"]),  # noqa: S108  inside the container
        "capabilities": definition.get("capabilities", []),
        "memory": f"{definition['memory_mb']}m",
        "shm_size": f"{definition.get('shm_mb', 64)}m",
        "pids_limit": definition.get("pids", 256),
        "stop_timeout": definition.get("stop_seconds", 10),
        "healthcheck": _healthcheck(definition["health"]),
        "gpus": definition.get("gpus", False),
    }


def _surroundings(definition: dict, catalog: dict, networks: list[dict]) -> dict:
    """Whom it reaches, and who reaches it."""
    return {
        "network_mode": networks[0]["name"] if networks else "host",
        "networks": [
            {"name": network["name"], "aliases": [definition["name"]]} for network in networks
        ],
        # Names of others on its networks are the engine's to tell. It would pass other questions on
        # itself, past the rules for what the container sends.
        "dns_servers": ["127.0.0.1"] if networks and not catalog.get("egress") else [],
        # Or whoever is on one of its networks could send packets through it into the others.
        "sysctls": {"net.ipv4.ip_forward": "0"} if networks else {},
        "published_ports": [
            f"{bracketed(address)}:{entry['port']}:{entry['inside_port']}"
            for entry in [catalog, *catalog.get("parts", [])]
            for address in entry.get("publish", [])
        ],
        "extra_hosts": definition.get("extra_hosts", {}),
        # With each line whose it is, for whoever reads the logs of all.
        "log_options": {"max-size": "10m", "max-file": "3", "labels": LABEL_SERVICE},
    }


def _hash(definition: dict, container: dict, places: dict, home: str, read_once: list[str]) -> str:
    ignored = {
        f"{home}/{kind}/{name}"
        for name in definition.get("reload", [])
        for kind in ("config", "secrets")
    }
    files, secrets = (
        [file for file in places[kind] if file["path"] not in ignored]
        for kind in ("files", "secrets")
    )
    # A label of ours changes nothing for a container that runs already; one that the site gives to
    # a directory of its own is to be obeyed.
    mounts = [_without_label(mount, definition) for mount in container["volumes"]]
    hashed = {**container, "volumes": mounts}
    content = json.dumps([hashed, files, secrets, *read_once], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _without_label(mount: str, definition: dict) -> str:
    is_the_sites = mount in definition.get("binds", [])
    return mount if is_the_sites else mount.removesuffix(f",{LABELLED}")


def _networks(definition: dict, catalog: dict) -> list[dict]:
    if definition.get("host_network"):
        return []
    if not catalog.get("networks"):
        raise Unusable(
            f"service {definition['name']!r}: the catalog gives it no network on this host; "
            "expected an entry of platform_services whose group has this host, or host_network"
        )
    return catalog["networks"]


def bracketed(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def _places(definition: dict, home: str, uid: str, gid: str) -> tuple[dict, list]:
    """Directories, files and secrets, and the mounts: /config and /secrets in the container."""
    directories = [_directory(home, "0700", "0", "0")]
    mounts: list[str] = []
    config = definition.get("files", {})
    if config:
        directories.append(_directory(f"{home}/config", "0755", "0", "0", exclusive=True))
        mounts.append(f"{home}/config:/config:ro,{LABELLED}")
    parents = sorted({key.rpartition("/")[0] for key in config if "/" in key})
    directories += [_directory(f"{home}/config/{p}", "0755", "0", "0", True) for p in parents]
    files = [_file(f"{home}/config/{key}", text, "0444", "0") for key, text in config.items()]
    values = dict(definition.get("secrets", {}))
    secret_env = definition.get("secret_env", {})
    if values or secret_env:
        directories.append(_directory(f"{home}/secrets", "0500", uid, gid, exclusive=True))
        mounts.append(f"{home}/secrets:/secrets:ro,{LABELLED}")
    if secret_env:
        directories.append(_directory(f"{home}/secrets/env", "0500", uid, gid, exclusive=True))
        values.update({f"env/{key}": value for key, value in secret_env.items()})
    secrets = [_file(f"{home}/secrets/{key}", text, "0400", uid) for key, text in values.items()]
    return {"directories": directories, "files": files, "secrets": secrets}, mounts


def _directory(path: str, mode: str, uid: str, gid: str, exclusive: bool = False) -> dict:
    """exclusive: a secret or a file that is no longer declared goes."""
    return {"path": path, "mode": mode, "owner": uid, "group": gid, "exclusive": exclusive}


def _file(path: str, content: str, mode: str, uid: str) -> dict:
    return {"path": path, "content": str(content), "mode": mode, "owner": uid, "group": "0"}


def healthcheck_for(healthcheck: dict, api: str) -> dict:
    """A health check as this engine takes it: often while a container starts, seldom afterwards.

    Each check is a program that the engine starts, about a tenth of a second of a CPU. As long
    passes before a container counts as unhealthy. Not part of the hash: a newer engine is no reason
    for a restart.
    """
    if tuple(int(part) for part in api.split(".")) < CHECKS_WHILE_STARTING:
        return healthcheck
    often = int(healthcheck["interval"].removesuffix("s"))
    seldom = max(often, SELDOM_SECONDS)
    return {
        **healthcheck,
        "interval": f"{seldom}s",
        "start_interval": "1s",
        "retries": -(-healthcheck["retries"] * often // seldom),
    }


def _healthcheck(health: dict) -> dict:
    return {
        "test": ["CMD", *[str(word) for word in health["command"]]],
        "interval": f"{health.get('interval_seconds', 5)}s",
        "timeout": f"{health.get('timeout_seconds', 5)}s",
        "retries": health.get("retries", 12),
        "start_period": f"{health.get('start_seconds', 30)}s",
    }
