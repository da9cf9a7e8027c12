# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reads of a host what the doctor's rules need. Reads only, and expects everything to be broken.

A fact that could not be read is None, so that a rule can tell it from one that is well.
"""

from __future__ import annotations

import concurrent.futures
import functools
import glob
import json
import os
import re
import socket
import subprocess
import time

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.engine.daemon_json import (
    DaemonJsonError,
    parse,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine, EngineError
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    certificates,
    containers,
    disk,
    gpu,
    logs,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor_probes as probes
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import ports_of
from ansible_collections.intranet.mcp.plugins.module_utils.examine.shared_address import held
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import (
    port_holders,
    read,
)

DOCKERD = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd")
CONFIG = "services/litellm/config/config.yaml"


def gather(wanted: dict) -> dict:
    """All facts of this host."""
    engine = Engine(wanted["socket"])
    info = _asked(engine, "/info")
    listed = (_asked(engine, "/containers/json?all=1") if info else None) or []
    found = _containers(engine, listed, wanted)
    settings = _daemon_json(wanted["daemon_json"])
    jobs = {
        "firewall": lambda: _firewall(wanted),
        "filesystems": lambda: disk.read(_places(wanted, info)),
        "certificates": lambda: [certificates.read(place) for place in wanted["certificates"]],
        "names": lambda: {name: _resolves(name) for name in wanted["names"]},
        "gpu": lambda: _gpu(engine, info, found, wanted),
        "proxies": lambda: probes.proxies(wanted),
        "log_queues": lambda: logs.read(wanted["data_dir"]),
        "engine_log": lambda: "" if info else _journal(),
        "shared_address": lambda: _shared_address_of(wanted),
        **probes.jobs(engine, found, wanted),
    }
    holders = port_holders({part["port"] for part in ports_of(wanted["services"]).values()}, listed)
    return {
        "uid": os.geteuid(),
        "time": time.time(),
        "engine": info and {"version": info["ServerVersion"], "root": info["DockerRootDir"]},
        "has_dockerd": any(os.access(path, os.X_OK) for path in DOCKERD),
        "daemon_json": settings,
        "listed": listed,
        "listeners": holders,
        "images": containers.by_tag(_asked(engine, "/images/json") or []) if info else {},
        "containers": found,
        "chat_over_generate": chat_over_generate(read(os.path.join(wanted["config_dir"], CONFIG))),
        **together(jobs),
    }


def together(jobs: dict) -> dict:
    """Results of the jobs by name; None for one that failed."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = {name: pool.submit(job) for name, job in jobs.items()}
    return {
        name: None if isinstance(job.exception(), EXPECTED) else job.result()
        for name, job in running.items()
    }


# What reading of something broken ends in: no answer, or an answer of another shape.
EXPECTED = (ServiceError, OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError)


def _asked(engine: Engine, resource: str):
    try:
        return engine.json(resource)
    except (EngineError, ValueError):
        return None


def _containers(engine: Engine, listed: list[dict], wanted: dict) -> dict[str, dict]:
    """The platform's containers by service."""
    jobs = {
        service: functools.partial(containers.read, engine, entry["Id"], peers(service, wanted))
        for service, entry in containers.of_platform(listed, wanted["container_prefix"]).items()
    }
    return {service: found for service, found in together(jobs).items() if found}


def peers(service: str, wanted: dict) -> dict[str, str]:
    """The services whose names a service must resolve, and these names."""
    needs = wanted["services"].get(service, {}).get("needs") or []
    return {peer: wanted["container_prefix"] + peer for peer in needs}


def _daemon_json(path: str) -> dict:
    """Its settings, or why they cannot be read, and the newest backup that can."""
    try:
        return {"path": path, "error": "", "settings": parse(read(path), path), "backup": ""}
    except DaemonJsonError as error:
        found = {"path": path, "error": error.found, "settings": None}
    backups = [*glob.glob(f"{path}.*~")]
    for backup in sorted(backups, key=os.path.getmtime, reverse=True):
        try:
            if parse(read(backup), backup):
                return {**found, "backup": backup}
        except DaemonJsonError:
            continue
    return {**found, "backup": ""}


def _firewall(wanted: dict) -> str | None:
    """V(loaded), V(missing) or V(changed); None where nft cannot be asked."""
    nft = next((p for p in ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft") if os.path.exists(p)), "")
    if not nft:
        return None
    command = [nft, "--stateless", "list", "table", "inet", wanted["firewall_table"]]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if asked.returncode:
        return "missing" if "No such file" in asked.stderr else None
    kept = json.loads(read(os.path.join(wanted["config_dir"], "firewall.json")) or "{}")
    return "loaded" if asked.stdout == kept.get("listing", asked.stdout) else "changed"


def _shared_address_of(wanted: dict) -> dict | None:
    """The addresses that balancers share, which of them this one holds, and who decides that."""
    addresses = wanted["shared_addresses"]
    if not addresses:
        return None
    command = ["ip", "-json", "address"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    container = f"{wanted['container_prefix']}keepalived"
    return {
        "addresses": addresses,
        "held": held(listed.stdout, addresses),
        "container": container,
    }


def _places(wanted: dict, info: dict | None) -> list[str]:
    """Where the platform writes: its directories, the engine's, and mounts below them."""
    places = [wanted["data_dir"], wanted["config_dir"], *wanted["disk_paths"]]
    places += [info["DockerRootDir"]] if info else []
    mounts = [line.split()[1] for line in read("/proc/self/mounts").splitlines()]
    return places + [m for m in mounts if m.startswith(wanted["data_dir"] + "/")]


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _gpu(engine: Engine, info: dict | None, found: dict, wanted: dict) -> dict | None:
    if not wanted["gpu"]:
        return None
    seen, said = None, ""
    ollama = found.get("ollama")
    runtimes = list((info or {}).get("Runtimes", {}))
    if ollama and ollama["state"] == "running" and "nvidia" in runtimes:
        status, _stdout, _stderr, said = engine.run(ollama["id"], ["nvidia-smi", "-L"])
        seen = status == 0
    return {
        "device": gpu.has_device(),
        "runtimes": runtimes,
        "cdi": bool(glob.glob("/etc/cdi/nvidia*") + glob.glob("/var/run/cdi/nvidia*")),
        "cdi_path": "/etc/cdi",
        "visible": seen,
        "said": said.strip()[:120],
        "models": probes.loaded_models(wanted) if seen else [],
    }


def _journal() -> str:
    """The last complaint of an engine that does not run."""
    command = ["journalctl", "--identifier=dockerd", "--no-pager", "--output=cat", "--lines=8"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    lines = [line for line in asked.stdout.splitlines() if re.search("fail|error|unable", line)]
    return containers.without_secrets(lines[-1])[:200] if lines else ""


def chat_over_generate(config: str) -> list[str]:
    """Chat models in LiteLLM's configuration that use the prefix without tool calls."""
    entries = re.split(r"^\s*- model_name:", config, flags=re.MULTILINE)[1:]
    return [
        entry.splitlines()[0].strip().strip("\"'")
        for entry in entries
        if re.search(r"^\s*model: [\"']?ollama/", entry, re.MULTILINE)
        and not re.search(r"\bmode\b[\"']?: *[\"']?embedding", entry)
    ]
