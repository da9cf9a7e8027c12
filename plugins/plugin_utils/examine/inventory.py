# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of the inventory and of the control node would stop a run. Pure."""

from __future__ import annotations

import difflib
import stat

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding


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


def cluster_problems(host: str, connection: str) -> list[Finding]:
    """A host that is taken for a cluster, and is one of a cluster's nodes or none of this.

    connection: how its tasks reach it.
    """
    if connection == "local":
        return []
    return [
        Finding(
            "inventory",
            f"{host} is in group kubernetes and reached by {connection}",
            "a cluster, whose API the control node asks (ansible_connection: local)",
            f"take {host} out of group kubernetes; for a cluster see docs/en/kubernetes.md",
        )
    ]


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
