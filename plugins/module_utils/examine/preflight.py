# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is wrong with a host or an inventory, decided from what was read of it. Pure."""

from __future__ import annotations

import difflib
import re
import stat

from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import (
    name_of,
    published_ports,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import architecture_of

OURS = "intranet-mcp/"
LOOPBACKS = ("127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  read from the kernel, nothing is bound here

# name -> (lowest version per major or overall, versions never to run, why). Only a version that is
# named in `preflight_allow_versions` gets past this table.
RULES: dict[str, dict] = {
    "litellm": {
        "floors": ["1.84.0"],
        "blocked": {
            "1.82.7": "carried malware",
            "1.82.8": "carried malware",
            "1.107.0": "is quarantined",
        },
    },
    "ollama": {"floors": ["0.17.1"], "why": "CVE-2026-7482"},
    "mcp": {"floors": ["1.30.0", "2.2.0"]},
    "@modelcontextprotocol/sdk": {"floors": ["1.26.0"]},
    "@modelcontextprotocol/server-filesystem": {"floors": ["2025.7.1"]},
    "nvidia-container-toolkit": {"floors": ["1.17.8"]},
}
# The firewall's rules answer with a reject in a prerouting hook (Linux 5.9, nft_reject_inet).
KERNEL_FLOOR = (5, 9)
# Ollama's CUDA runners need this driver or a newer one (docs.ollama.com/gpu, 0.34).
NVIDIA_DRIVER_FLOOR = "531"


def report(problems: list[Finding], host: str) -> str:
    """All of them in one text."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, 1)]
    return "\n".join([f"{count} found on {host}, nothing was changed:", *lines])


# --- the host -----------------------------------------------------------------------------------


def platform_problems(facts: dict, wanted: dict) -> list[Finding]:
    """Root, operating system, architecture, kernel, memory."""
    problems = []
    if facts["uid"]:
        problems.append(
            Finding(
                "root",
                f"Ansible acts as user id {facts['uid']}",
                "root",
                "set ansible_become: true, or run as root",
            )
        )
    for check, key, what in (
        ("os", "os_family", "operating system family"),
        ("architecture", "architecture", "architecture"),
    ):
        if facts[key] not in wanted[key]:
            problems.append(
                Finding(
                    check,
                    f"{what} {facts[key]}",
                    " or ".join(wanted[key]),
                    f"use another host, or put {check} into preflight_ignore if you know better",
                )
            )
    if _parts(facts["kernel"])[:2] < KERNEL_FLOOR:
        problems.append(
            Finding(
                "kernel",
                f"kernel {facts['kernel']}",
                ".".join(map(str, KERNEL_FLOOR))
                + " or newer, whose nftables can reject before routing",
                "use a newer release of the operating system",
            )
        )
    if facts["memory_mb"] < wanted["memory_mb"]:
        problems.append(
            Finding(
                "memory",
                f"{facts['memory_mb']} MiB of memory",
                f"at least {wanted['memory_mb']} MiB",
                "give the host more, or lower preflight_memory_mb if it runs few services",
            )
        )
    return problems


def gpu_problems(found: dict, declared: str) -> list[Finding]:
    """Whether somebody decided about the host's NVIDIA GPU, and what it needs to serve models.

    found: {device, driver, switch, fabric_manager}; driver is a version or empty. declared: yes,
    no, undecided, or unused where nothing of the host would use a GPU.
    """
    if declared == "undecided" and found["device"]:
        return [
            Finding(
                "gpu",
                "an NVIDIA GPU, and nvidia_gpu is not set for this host",
                "a decision: otherwise Ollama serves from the CPU while the GPU idles",
                "set nvidia_gpu: true for it (Ollama's image with CUDA then comes from a bundle or "
                "a registry), or nvidia_gpu: false to serve from the CPU",
            )
        ]
    return _unusable_gpu(found) if declared == "yes" else []


def _unusable_gpu(found: dict) -> list[Finding]:
    if not found["device"]:
        return [
            Finding(
                "gpu",
                "nvidia_gpu is true, and there is neither /dev/nvidia0 nor /proc/driver/nvidia",
                "a loaded NVIDIA driver",
                "install the driver, or set nvidia_gpu: false",
            )
        ]
    problems = []
    if found["driver"] and _parts(found["driver"]) < _parts(NVIDIA_DRIVER_FLOOR):
        problems.append(
            Finding(
                "gpu",
                f"NVIDIA driver {found['driver']}",
                f"{NVIDIA_DRIVER_FLOOR} or newer, for Ollama's CUDA runners",
                "update the driver",
            )
        )
    if found["switch"] and not found["fabric_manager"]:
        problems.append(
            Finding(
                "gpu",
                "GPUs joined by NVSwitch, and no fabric manager runs",
                "nvidia-fabricmanager of the driver's version: CUDA does not start without it",
                "install it, and run systemctl enable --now nvidia-fabricmanager",
            )
        )
    return problems


def port_problems(
    services: dict[str, dict], listeners: list[dict], containers: list[dict], prefix: str
) -> list[Finding]:
    """Ports that somebody else holds.

    services: name -> {port, publish}. listeners: {address, port, holder, container}. containers as
    the engine lists them.
    """
    ours, others = {}, {}
    for container in containers:
        name = name_of(container)
        holders = ours if name.startswith(prefix) else others
        holders.update(dict.fromkeys(published_ports(container), name))
    problems = []
    for name, service in sorted(services.items()):
        holder = _holder(service, listeners, ours, others, prefix)
        if holder:
            problems.append(
                Finding(
                    "ports",
                    f"port {service['port']} is held by {holder}",
                    f"free for {name}",
                    "stop that program, or give the service another port in the catalog",
                )
            )
    return problems


def _holder(service, listeners, ours, others, prefix) -> str:
    port = service["port"]
    if not service.get("publish") or port in ours:
        return ""
    if port in others:
        return f"container {others[port]}"
    for listener in listeners:
        if listener["port"] == port and _collide(listener["address"], service["publish"]):
            if listener.get("container", "").startswith(prefix):
                continue
            return listener.get("holder") or "an unknown program"
    return ""


def _collide(address: str, publish: list[str]) -> bool:
    if address in WILDCARDS or set(publish) & set(WILDCARDS):
        return True
    return address in publish or (address in LOOPBACKS and bool(set(publish) & set(LOOPBACKS)))


def listening(table: str) -> list[dict]:
    """Listeners of /proc/net/tcp or tcp6, each with address, port and inode."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == "0A":
            address, _colon, port = fields[1].partition(":")
            found.append({"address": _address(address), "port": int(port, 16), "inode": fields[9]})
    return found


def _address(text: str) -> str:
    """The kernel's hexadecimal address: wildcard and loopback by name, others as they stand."""
    if not text.strip("0"):
        return "::" if len(text) > 8 else "0.0.0.0"  # noqa: S104
    known = {"0100007F": "127.0.0.1", "00000000000000000000000001000000": "::1"}
    if text in known or len(text) > 8:
        return known.get(text, text)
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))


def missing_images(wanted: list[str], tags: set[str]) -> list[str]:
    """Images the host lacks. Without a list, any image of ours means that they are there."""
    if wanted:
        return [image for image in wanted if image not in tags]
    return [] if any(tag.startswith(OURS) for tag in tags) else [f"{OURS}*"]


def image_problems(
    missing: list[str],
    ways: list[dict],
    failures: dict[str, str],
    wanted: dict[str, dict],
    machine: str = "",
) -> list[Finding]:
    """Images that no source gives to a host of this architecture.

    ways: {name, urls, path, holds} beside registries; holds: image -> {architecture, digest}, of a
    bundle. failures: address, path or place of a registry -> why. wanted: image -> {ways, places,
    digest}. What a way of the site's own holds is not known here: one that works is enough.
    """
    broken = {way["name"]: _failed(way, failures) for way in ways}
    works = {name for name, failed in broken.items() if not failed}
    bundles = {way["name"]: way["holds"] for way in ways if way.get("holds") is not None}
    if works - {"build", *bundles} or not (ways or wanted):
        return []
    causes: dict[tuple[str, ...], list[str]] = {}
    for image in missing:
        said = wanted.get(image, {"places": [], "ways": ["build"]})
        is_built = "build" in said["ways"]
        wants = {"architecture": architecture_of(machine), "digest": said.get("digest")}
        reasons = [_lack(name, image, holds, wants) for name, holds in bundles.items()]
        reasons += [failures.get(place, "") for place in said["places"]]
        if not all(reasons) or (is_built and "build" in works):
            continue
        reasons += [f"{name}: {why}" for name, why in broken.items() if why and name != "build"]
        reasons.append(_no_build(broken, is_built))
        causes.setdefault(tuple(filter(None, dict.fromkeys(reasons))), []).append(image)
    return [
        Finding(
            "sources",
            f"images are missing ({', '.join(images)}) and no source has them: "
            + ("; ".join(reasons) or "none is set"),
            "one that has them",
            "push them there, correct image_registry_mirrors, image_registry_prefix or the "
            "package mirrors, bring a bundle (image_bundle_path), or set "
            "image_registry_upstream: true where the internet is reached",
        )
        for reasons, images in causes.items()
    ]


def _failed(way: dict, failures: dict[str, str]) -> str:
    needed = [*(way.get("urls") or []), *([way["path"]] if way.get("path") else [])]
    return ", ".join(f"{place} ({failures[place]})" for place in needed if place in failures)


def _lack(name: str, image: str, holds: dict[str, dict], wants: dict) -> str:
    if image == f"{OURS}*":
        return ""
    if image not in holds:
        return f"the {name} does not hold it"
    found = holds[image]
    if wants["digest"] and found["digest"] != wants["digest"]:
        declared = found["digest"] or "no digest"
        return f"the {name} declares {declared} of it, pinned is {wants['digest']}"
    is_fit = not (found["architecture"] and wants["architecture"])
    if is_fit or found["architecture"] == wants["architecture"]:
        return ""
    return f"the {name} holds it for {found['architecture']}, this host is {wants['architecture']}"


def _no_build(broken: dict[str, str], is_built: bool) -> str:
    if "build" not in broken:
        return ""
    if not is_built:
        return "cannot be built, only fetched"
    return f"build: {broken['build']}"


# --- versions -----------------------------------------------------------------------------------


def version_problems(versions: dict[str, str], allowed: dict[str, str]) -> list[Finding]:
    """Versions that must not run, unless exactly this one is allowed by name."""
    problems = []
    for name, version in sorted(versions.items()):
        reason = _refused(RULES.get(name, {}), str(version))
        if reason and str(allowed.get(name)) != str(version):
            problems.append(
                Finding(
                    "versions",
                    f"{name} {version} {reason}",
                    _floor_text(RULES[name]),
                    f"choose another, or accept it by name: preflight_allow_versions: "
                    f"{{{name}: {version}}}",
                )
            )
    return problems


def _refused(rule: dict, version: str) -> str:
    if version in rule.get("blocked", {}):
        return rule["blocked"][version]
    floors = sorted(map(_parts, rule.get("floors", [])))
    if not floors:
        return ""
    number = _parts(version)
    # A floor holds within its own major version; older majors are below every floor.
    floor = next((f for f in reversed(floors) if f[0] <= number[0]), floors[0])
    why = f" ({rule['why']})" if rule.get("why") else ""
    return f"is too old{why}" if number < floor else ""


def _floor_text(rule: dict) -> str:
    text = "at least " + " or ".join(rule["floors"])
    blocked = rule.get("blocked", {})
    return f"{text}, never {', '.join(blocked)}" if blocked else text


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])) or (0,)


# --- control node and inventory -----------------------------------------------------------------


def secret_problems(entries: dict[str, int]) -> list[Finding]:
    """entries: path -> st_mode, of the secrets directory and the files in it."""
    problems = []
    for path, mode in sorted(entries.items()):
        expected = 0o700 if stat.S_ISDIR(mode) else 0o600
        if stat.S_IMODE(mode) & ~expected:
            problems.append(
                Finding(
                    "secrets",
                    f"{path} has mode {stat.S_IMODE(mode):04o}",
                    f"{expected:04o}",
                    f"chmod {expected:04o} {path}, and renew the secret if others could read it",
                )
            )
    return problems


def secrets_place_problems(places: dict[str, str]) -> list[Finding]:
    """places: host -> where its secrets lie. Replicas must have the same."""
    (first, expected), *others = places.items()
    return [
        Finding(
            "secrets",
            f"{host} has its secrets in {place}, {first} in {expected}",
            "one place for all hosts",
            "set platform_secrets_dir for all hosts alike, or leave it out",
        )
        for host, place in others
        if place != expected
    ][:1]


def readable_place_problems(places: dict[str, str]) -> list[Finding]:
    """places: inventory -> a directory of secrets below it that Ansible reads as part of it."""
    return [
        Finding(
            "secrets",
            f"{directory} is read as part of the inventory {inventory}, and secrets as host names",
            "a place that Ansible does not read",
            "leave platform_secrets_dir out: what is there is moved by the next run",
        )
        for inventory, directory in places.items()
    ]


def group_problems(groups: dict[str, list], required: list[str], known: set[str]) -> list[Finding]:
    """Groups without a host, with a guess where the inventory has one of nearly that name."""
    problems = []
    strange = sorted(set(groups) - known - {"all", "ungrouped"})
    for name in required:
        if groups.get(name):
            continue
        near = difflib.get_close_matches(name, strange, 1, 0.75)
        hint = f"did you mean {name} where it says {near[0]}? " if near else ""
        problems.append(
            Finding(
                "inventory",
                f"group {name} has no host",
                "at least one",
                f"{hint}Put a host into {name}",
            )
        )
    return problems


def engine_problems(engine: str, acme_directory: str) -> list[Finding]:
    """What an engine of the load balancer cannot do; for clusters of data see _clusters."""
    if engine == "haproxy" or not acme_directory:
        return []
    return [
        Finding(
            "inventory",
            f"load_balancer_acme_directory is {acme_directory} and load_balancer_engine {engine}",
            "haproxy, which answers the ACME server's question for every balancer alike",
            "set load_balancer_engine: haproxy, or load_balancer_tls_certificate and "
            "load_balancer_tls_key instead of the ACME server",
        )
    ]


def unknown_variables(names: list[str], known: set[str], prefixes: set[str]) -> list[Finding]:
    """Variables that look like a misspelt one of ours. Others belong to the site."""
    problems = []
    for name in sorted(names):
        if name in known or not name.startswith(tuple(prefixes)):
            continue
        near = difflib.get_close_matches(name, known, 1, 0.85)
        if near:
            problems.append(
                Finding(
                    "inventory",
                    f"variable {name} is unknown",
                    f"{near[0]}, perhaps",
                    "correct the name, or rename your own variable",
                )
            )
    return problems


# --- one run at a time --------------------------------------------------------------------------


def is_same_run(owner: dict, other: dict) -> bool:
    return all(owner.get(key) == other.get(key) for key in ("node", "boot", "pid", "started"))


def is_gone(owner: dict, me: dict, started_now) -> bool | None:
    """Whether the lock's owner has ended; None where this control node cannot know.

    started_now: process id -> its start, None where no such process runs.
    """
    if owner.get("node") != me["node"]:
        return None
    if owner.get("boot") != me["boot"]:
        return True
    return started_now(owner.get("pid", 0)) != owner.get("started")


def lock_problem(owner: dict, max_age_seconds: int) -> Finding:
    return Finding(
        "lock",
        f"another run is in progress: {owner.get('playbook', 'a playbook')}, started "
        f"{owner.get('since', '?')} by {owner.get('user', '?')} on {owner.get('host', '?')} "
        f"(process {owner.get('pid', '?')})",
        "one run at a time",
        "wait until it ends. If it is gone, the lock is taken over by itself from the same control "
        f"node, from others after {max_age_seconds} s or with preflight_take_over=true",
    )
