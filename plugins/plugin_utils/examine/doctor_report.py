# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the doctor saw on all hosts as one report, as lines for a terminal, as fixes. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    UNKNOWN,
    WARNING,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.probe_cluster import OF_OBJECTS
from ansible_collections.intranet.mcp.plugins.module_utils.examine.shared_address import judge

# Fixes of the host itself, which come before those of containers.
HOST = ("daemon_json", "engine", "settings", "toolkit", "firewall", "password")
# The only one of a cluster.
APPLY = "apply"
# Fixes for which the service's role recreates the container.
ANEW = ("deploy", "replace", "models")


def report(examined: dict[str, dict], at: str) -> dict:
    """One report of what the module returned on each host.

    examined: host -> result as Ansible registers it, which may say that the host is away. at: when,
    ISO 8601. Returns {at, healthy, findings, noted, unseen, hosts}; what is noted is no finding.
    """
    findings, noted, unseen = [], [], []
    for host, result in examined.items():
        findings += [{"host": host, **finding} for finding in _findings(host, result)]
        noted += [{"host": host, **finding} for finding in result.get("noted", [])]
        unseen += [{"host": host, **check} for check in result.get("unseen", [])]
    findings += _held_once(examined)
    return {
        "at": at,
        "healthy": not findings,
        "findings": findings,
        "noted": noted,
        "unseen": unseen,
        "hosts": {host: result.get("facts", {}) for host, result in examined.items()},
    }


def _findings(host: str, result: dict) -> list[dict]:
    if "findings" in result:
        return result["findings"]
    is_away = result.get("unreachable")
    silent = Finding(
        "host",
        f"{host} {'is out of reach' if is_away else 'could not be examined'}: {_said(result)}",
        "a host that Ansible can log in to, with Python",
        "start it, or correct its address, account or Python in the inventory",
    )
    return [{**silent.as_dict(), "role": ""}]


def of_probes(result: dict) -> dict:
    """What probes found, as the module doctor returns findings of a host.

    result: of the module `health`, as Ansible registers it; its failure stays as it is.
    """
    if "checks" not in result:
        return result
    wrong = [row for row in result["checks"] if row["status"] in (FAILED, UNKNOWN)]
    warned = [row for row in result["checks"] if row["status"] == WARNING]
    return {
        "findings": [_of_row(row) for row in wrong],
        "noted": [_of_row(row) for row in warned],
    }


def with_probes(examined: dict, result: dict, check: str) -> dict:
    """What the module doctor returned of a host, and what probes from that host found besides.

    result: as of_probes takes it. check: what the probes are about, should they fail to run.
    """
    probed = of_probes(result)
    found = probed.get("findings")
    if found is None:
        found = [{**_not_run(result, check).as_dict(), "role": ""}]
    noted = [*examined.get("noted", []), *probed.get("noted", [])]
    return {**examined, "findings": [*examined["findings"], *found], "noted": noted}


def _not_run(result: dict, check: str) -> Finding:
    return Finding(
        check,
        f"the probes could not run: {_said(result)}",
        "probes that run on this host and say how each server answers",
        "correct what the message names, then run doctor.yml again; -vvv shows the whole failure",
    )


def _said(result: dict) -> str:
    """What a result of Ansible's says, in one line."""
    return " ".join(str(result.get("msg") or "nothing came back").split())


def _of_row(row: dict) -> dict:
    # Not what pods say: applying the same once more would not make them ready.
    fix = APPLY if row["name"].startswith(OF_OBJECTS) else ""
    finding = Finding(row["name"], row["found"], row["expected"], row["action"], fix)
    return {**finding.as_dict(), "role": ""}


def _held_once(examined: dict[str, dict]) -> list[dict]:
    """An address that several balancers share and not exactly one of them holds."""
    told = {host: (r.get("facts") or {}).get("shared_address") for host, r in examined.items()}
    shared = {host: kept for host, kept in told.items() if kept}
    if not shared:
        return []
    about = next(iter(shared.values()))
    held = {host: kept["held"] for host, kept in shared.items()}
    judged = judge("shared address", held, about["addresses"], about["container"])
    # A host that could not be examined may be the holder, and has a finding of its own.
    may_be_elsewhere = not any(held.values()) and any("facts" not in r for r in examined.values())
    if not judged.is_failed or may_be_elsewhere:
        return []
    return [{"host": " and ".join(shared), **judged.as_dict(), "role": ""}]


def fixes(findings: list[dict], order: list[str]) -> dict:
    """What to do on one host about its findings, in order.

    order: roles as the catalog has them, those first that others need; roles not in it come last.
    Returns {cluster, host, roles}: whether to apply a cluster's objects, kinds of fix for the host,
    and for each role what to stop, which containers to start (and whether a running one starts
    afresh), and whether to run the role.
    """
    fixes = [finding for finding in findings if finding["fix"]]
    others = sorted({f["role"] for f in fixes if f["role"]} - {*order})
    roles = [_of_role(r, [f for f in fixes if f["role"] == r]) for r in (*order, *others)]
    return {
        "cluster": any(f["fix"] == APPLY for f in fixes),
        "host": [kind for kind in HOST if any(f["fix"] == kind for f in fixes)],
        "roles": [role for role in roles if role["containers"] or role["run"]],
    }


def _of_role(role: str, fixes: list[dict]) -> dict:
    made_anew = {f["service"] for f in fixes if f["fix"] in ANEW}
    others = {
        f["service"]: any(o["fix"] == "restart" for o in fixes if o["service"] == f["service"])
        for f in fixes
        if f["service"] not in made_anew and f["fix"] in ("start", "connect", "restart")
    }
    return {
        "role": role,
        "stop": sorted({f["service"] for f in fixes if f["fix"] == "replace"}),
        "containers": [{"service": s, "restart": others[s]} for s in sorted(others)],
        "run": bool(made_anew),
    }


def table(found: dict) -> list[str]:
    """The report as lines: what was not examined, what is to be known, then each finding."""
    lines = [_unseen_line(*key, checks) for key, checks in _grouped(found["unseen"]).items()]
    lines += [
        f"warning from {one['host']}, {one['check']}: {one['found']}; "
        f"expected {one['expected']}: {one['action']}"
        for one in found["noted"]
    ]
    for number, finding in enumerate(found["findings"], 1):
        lines += [
            f"{number}. {finding['host']}, {finding['check']}",
            f"   found:    {finding['found']}",
            f"   expected: {finding['expected']}",
            f"   do:       {finding['action']}"
            + ("   [--tags fix does it]" if finding["fix"] else ""),
        ]
    return [*lines, _verdict(found)]


def _grouped(unseen: list[dict]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for check in unseen:
        groups.setdefault((check["host"], check["why"]), []).append(check["check"])
    return groups


def _unseen_line(host: str, why: str, checks: list[str]) -> str:
    return f"not examined on {host}, as {why}: {', '.join(checks)}"


def _verdict(found: dict) -> str:
    hosts = list(found["hosts"].values())
    containers = sum(len(host.get("containers", {})) for host in hosts)
    where = f"{containers} containers on {_count(len(hosts), 'host')}"
    count = len(found["findings"])
    if not count:
        return f"Healthy: {where}, nothing found."
    fixable = sum(bool(finding["fix"]) for finding in found["findings"])
    hint = f", {fixable} of them fixed by --tags fix" if fixable else ""
    return f"Unhealthy: {_count(count, 'finding')}{hint} ({where})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
