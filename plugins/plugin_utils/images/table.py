# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which version of what a platform runs, why, and where that is said. Pure.

Images are what `rows` lists; what comes from package registries and distributions, the others.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned

HEADER = ("component", "version", "on", "source", "pinned in", "why this version")
MANIFEST = "roles/platform/vars/main/images.yml"
CLIENTS = "roles/platform/vars/main/clients.yml"
# Where programs of the site's choice are named.
ENGINE, ENGINE_OPTION = "docker", "docker_packages"


def rows(manifest: dict, own: dict, extra: dict, used: dict[str, list[str]]) -> list[dict]:
    """Return a row for each image that a host uses.

    manifest: every image, as it is deployed. own: the collection's part of it. extra: what the site
    changed (image_extra). used: host -> names of its images.
    """
    hosts: dict[str, list[str]] = {}
    for host, names in sorted(used.items()):
        for name in names:
            hosts.setdefault(name, []).append(host)
    return [
        {
            "component": name,
            "version": str(manifest[name]["version"]),
            "hosts": hosts[name],
            "source": manifest[name].get("upstream") or "none, built",
            "pinned": _place(name, own, extra),
            "why": manifest[name].get("why", ""),
        }
        for name in sorted(hosts)
    ]


def client_rows(manifest: dict, names: list[str], hosts: list[str]) -> list[dict]:
    """Return a row for each CLI. manifest: client_manifest. names: those that these hosts get."""
    return [
        {
            "component": name,
            "version": manifest[name]["version"],
            "hosts": hosts,
            "source": f"npm {manifest[name]['package']}",
            "pinned": CLIENTS,
            "why": manifest[name]["why"],
        }
        for name in sorted(names)
    ]


def weight_rows(manifest: dict, models: list[dict], hosts: list[str]) -> list[dict]:
    """Return a row for each package of weights that a model comes from.

    manifest: artifact_manifest. models: those that each of these hosts has, as ollama_models.
    """
    wanted = {m.get("file") for m in models if m.get("state", "present") == "present"}
    packages = {name: manifest[name]["package"].partition("==") for name in wanted & {*manifest}}
    return [
        {
            "component": name,
            "version": version,
            "hosts": sorted(hosts),
            "source": f"PyPI {package}",
            "pinned": MANIFEST,
            "why": manifest[name]["why"],
        }
        for name, (package, _equal, version) in sorted(packages.items())
        if hosts
    ]


def program_rows(
    manifest: dict, used: dict[str, list[str]], engine: list[str] | None = None
) -> list[dict]:
    """Return a row for each program that is no image.

    manifest: program_manifest. used: name -> hosts. engine: the site's packages of the engine
    (docker_packages).
    """
    own = {"source": ", ".join(engine or []), "pinned": ENGINE_OPTION}
    return [
        {
            "component": name,
            "hosts": sorted(hosts),
            **manifest[name],
            **(own if engine and name == ENGINE else {}),
        }
        for name, hosts in sorted(used.items())
        if hosts
    ]


def _place(name: str, own: dict, extra: dict) -> str:
    if "version" in extra.get(name, {}):
        return "image_extra"
    return MANIFEST if name in own else "platform_mcp_servers"


def table(found: list[dict]) -> list[str]:
    """The rows as aligned lines for a terminal."""
    keys = ("component", "version", "hosts", "source", "pinned", "why")
    cells = [HEADER] + [tuple(_text(row[key]) for key in keys) for row in found]
    return aligned(cells)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
