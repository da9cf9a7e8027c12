# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is in a person's onboarding bundle. Pure."""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_install import rendered
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import settings


def files(person: dict, site: dict, names: list, texts: dict) -> list[dict]:
    """Return path, content, mode and secret of every file of a bundle.

    person: as from `clients.members.members`, with its `key`. site: addresses and manifest, as for
    `clients.settings.entries`. texts: path to text of what is no setting.
    """
    entries = settings.entries(names, "user", site, person)
    about = {
        "alias": person["alias"],
        "litellm": site["litellm"],
        "gateway": site["gateway"],
        "model": person["model"],
        "context": _context(site, person["model"]),
        "clients": {name: _told(site["manifest"][name]) for name in names},
        "entries": [{k: v for k, v in e.items() if k != "settings"} for e in entries],
    }
    found = {
        **{path: _file(text, path.endswith(".sh")) for path, text in texts.items()},
        "platform.json": _file(json.dumps(about, indent=2) + "\n"),
    }
    for entry in entries:
        file = _file(rendered(entry), secret=entry.get("secret", False))
        found[f"files/{entry['path']}"] = file
    return [{"path": path, **found[path]} for path in sorted(found)]


def _context(site: dict, model: str) -> int:
    """Return how many tokens the model reads; 0 where nobody told."""
    return next((m["context"] for m in site.get("sizes", []) if m["name"] == model), 0)


def _told(client: dict) -> dict:
    return {name: client[name] for name in ("title", "package", "version")}


def _file(content: str, executable: bool = False, secret: bool = False) -> dict:
    return {"content": content, "mode": "0700" if executable else "0600", "secret": secret}
