# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which version of what a platform runs, why, and where that is said. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned

HEADER = ("component", "version", "on", "publisher's image", "pinned in", "why this version")
MANIFEST = "roles/platform/vars/main/images.yml"


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
            "upstream": manifest[name].get("upstream") or "none, built",
            "pinned": _place(name, own, extra),
            "why": manifest[name].get("why", ""),
        }
        for name in sorted(hosts)
    ]


def _place(name: str, own: dict, extra: dict) -> str:
    if "version" in extra.get(name, {}):
        return "image_extra"
    return MANIFEST if name in own else "platform_mcp_servers"


def table(found: list[dict]) -> list[str]:
    """The rows as aligned lines for a terminal."""
    keys = ("component", "version", "hosts", "upstream", "pinned", "why")
    cells = [HEADER] + [tuple(_text(row[key]) for key in keys) for row in found]
    return aligned(cells)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
