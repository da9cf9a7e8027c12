# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From what was read of a host to what is wrong with it. Pure: facts in, findings out.

Rules stand in tables (RULES here and in doctor_containers, doctor_services and doctor_cluster). A
rule takes `facts` and `wanted` and yields findings; those that passed are left out. A rule that
lacks the facts it needs raises Unseen: that is reported as not examined, which is neither healthy
nor unhealthy. What preflight and verify check, too, is judged by modules of its own (disk, clock,
database, redis, ...).

facts: what doctor_facts gathers. wanted: the module's options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    certificates,
    clock,
    disk,
    system,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine import gpu as gpu_driver
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.ports import port_problems


class Unseen(Exception):
    """What a rule needs could not be read; the message says why."""


Rule = Callable[[dict, dict], Iterator[Finding]]


def diagnose(facts: dict, wanted: dict, rules: list[tuple[str, Rule]]) -> dict:
    """Everything the rules find, and the checks that could not be made."""
    findings: list[Finding] = []
    unseen: list[dict] = []
    for name, rule in rules:
        try:
            findings += [found for found in rule(facts, wanted) if found.is_failed]
        except Unseen as reason:
            unseen.append({"check": name, "why": str(reason)})
    return {
        "findings": [{**finding.as_dict(), **_role(finding, wanted)} for finding in findings],
        "unseen": unseen,
    }


def _role(finding: Finding, wanted: dict) -> dict[str, str]:
    """The role that owns the service, which a fix runs."""
    return {"role": wanted["services"].get(finding.service, {}).get("role", "")}


def need(facts: dict, key: str, why: str):
    """A fact, or Unseen."""
    if facts.get(key) is None:
        raise Unseen(why)
    return facts[key]


def need_engine(facts: dict) -> None:
    """Raise Unseen where nothing of the engine could be read."""
    need(facts, "engine", "the engine does not answer")


def of_service(facts: dict, wanted: dict, service: str, key: str = "", beside: str = ""):
    """What was read of a service; None where it, or what it is beside, is not of this host.

    key: what the fact is called, where it is not called as the service.
    """
    if (beside or service) not in wanted["services"]:
        return None
    need_engine(facts)
    return need(facts, key or service, f"{service} does not run or does not answer")


def root(facts, wanted):
    yield system.judge_root(facts["uid"])


def engine(facts, wanted):
    if facts["engine"] is None and not facts["has_dockerd"]:
        yield Finding(
            "engine",
            "there is no container engine on this host (no dockerd)",
            "a deployed platform",
            "run the playbook: ansible-playbook site.yml",
        )
    elif facts["engine"] is None:
        said = f"; it says: {facts['engine_log']}" if facts["engine_log"] else ""
        yield Finding(
            "engine",
            f"no container engine answers on {wanted['socket']}{said}",
            "a running engine",
            "systemctl start docker; if it does not start, read journalctl -u docker",
            fix="engine",
        )


def daemon_json(facts, wanted):
    error, backup = facts["daemon_json"]["error"], facts["daemon_json"]["backup"]
    if error:
        path = facts["daemon_json"]["path"]
        yield Finding(
            "daemon.json",
            f"{error}; the engine does not start with it",
            "one JSON object",
            f"put {backup} back in its place (the broken file is kept beside it)"
            if backup
            else f"correct {path} by hand: settings of this site may stand in it",
            fix="daemon_json" if backup else "",
        )


def log_rotation(facts, wanted):
    """Another tool that wrote the file anew took our settings with it."""
    settings = facts["daemon_json"]["settings"]
    if settings is None or facts["engine"] is None:
        return
    rotates = "max-size" in settings.get("log-opts", {})
    if settings.get("log-driver", "json-file") == "json-file" and not rotates:
        yield Finding(
            "daemon.json",
            f"{facts['daemon_json']['path']} lets logs of containers grow without limit",
            "log-opts with max-size, as the docker role wrote it",
            "run the docker role again, and stop the tool that overwrote the file",
            fix="settings",
        )


def firewall(facts, wanted):
    if not facts["containers"]:
        return
    table = wanted["firewall_table"]
    state = need(facts, "firewall", "nft is not installed or may not be asked")
    texts = {
        "missing": f"table inet {table} is not loaded: published ports answer everybody, as Docker "
        "puts its own rules before ufw and firewalld",
        "changed": f"table inet {table} is not the one the playbook loaded",
    }
    if state in texts:
        yield Finding(
            "firewall",
            texts[state],
            "the rules the catalog asks for",
            "systemctl restart intranet-mcp-firewall, or run the playbook",
            fix="firewall",
        )


def reachable(facts, wanted):
    """Ports that this control node may use and cannot, though their container is well."""
    if facts["firewall"] not in ("loaded", None):
        return  # that is the cause, and reported
    for service, answer in sorted(wanted["reached"].items()):
        container = facts["containers"].get(service) or {}
        if answer == "open" or container.get("health") != "healthy":
            continue
        yield Finding(
            "firewall",
            f"port {wanted['services'][service]['port']} of {service}: {answer}, asked from the "
            "control node",
            "an open port, as its address may connect",
            "check for another firewall: nft list ruleset, ufw status, firewall-cmd --state, and "
            "those of the network between",
            service=service,
        )


def ports(facts, wanted):
    services, prefix = ports_of(wanted["services"]), wanted["container_prefix"]
    for held in port_problems("port", services, facts["listeners"], facts["listed"], prefix):
        if "docker-proxy" in held.found:  # an engine that was killed leaves them behind
            action = "it is of a container that is gone: systemctl restart docker"
            held = dataclasses.replace(held, action=action)
        yield held


def ports_of(services: dict) -> dict:
    """Everything with a port: services, and the further ports of their containers."""
    found = {}
    for name, service in services.items():
        for number, part in enumerate([service, *service.get("parts", [])]):
            if part["port"]:
                found[f"{name} ({part['port']})" if number else name] = part
    return found


def disk_space(facts, wanted):
    found = need(facts, "filesystems", "it cannot be read")
    yield from disk.failures("disk", found, wanted["disk_reserve_mb"], "doctor_disk_reserve_mb")


def time_of_day(facts, wanted):
    control_node = wanted["time"] or facts["time"]
    yield clock.judge("clock", facts["time"], control_node, wanted["clock_skew_seconds"])


def validity(facts, wanted):
    for certificate in need(facts, "certificates", "they cannot be read"):
        days = wanted["certificate_days"]
        yield certificates.judge("certificate", certificate, facts["time"], days)


def names(facts, wanted):
    for name, resolves in need(facts, "names", "they cannot be asked for").items():
        if not resolves:
            yield Finding(
                "dns",
                f"this host cannot resolve {name}",
                "an address",
                "correct the name in the inventory, or the name servers in /etc/resolv.conf",
            )


def gpu(facts, wanted):
    if not wanted["gpu"]:
        return
    found = need(facts, "gpu", "the engine does not answer")
    has_driver = found["device"]
    yield gpu_driver.judge_device("gpu", has_driver)
    missing = [
        (facts["engine"] is not None and "nvidia" not in found["runtimes"],
         "the engine has no runtime nvidia",
         "run the playbook: the toolkit and its entry in daemon.json are the "
         "nvidia_container_toolkit role's"),
        (not found["cdi"], f"no CDI spec at {found['cdi_path']}",
         "nvidia-ctk cdi generate, or run the playbook"),
    ]  # fmt: skip
    for is_missing, text, action in missing:
        if is_missing:
            fix = "toolkit" if has_driver else ""
            yield Finding("gpu", text, "a GPU for containers, as nvidia_gpu is true", action, fix)
    if found["visible"] is False:
        yield Finding(
            "gpu",
            f"Ollama's container lost its GPU ({found['said']}), as after systemctl daemon-reload",
            "nvidia-smi works in it",
            "restart the container",
            fix="restart",
            service="ollama",
        )
    else:
        yield gpu_driver.judge_models("gpu", found["models"])


def inventory(facts, wanted):
    if wanted["inventory_error"]:
        yield Finding(
            "inventory",
            f"what belongs on this host is not known: {wanted['inventory_error']}",
            "a catalog that fits the inventory",
            "correct the inventory",
        )


RULES: list[tuple[str, Rule]] = [
    ("root", root),
    ("inventory", inventory),
    ("engine", engine),
    ("daemon.json", daemon_json),
    ("log rotation", log_rotation),
    ("firewall", firewall),
    ("reachable ports", reachable),
    ("ports", ports),
    ("disk", disk_space),
    ("clock", time_of_day),
    ("certificates", validity),
    ("names", names),
    ("gpu", gpu),
]
