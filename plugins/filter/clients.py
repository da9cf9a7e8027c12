# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os

from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import (
    bundle,
    members,
    portal,
    settings,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded


def text(name: str, folder: str) -> str:
    """Return a file of this collection, on the control node, to the last newline."""
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as stream:
        return stream.read()


# The part of a bundle that is the same for everybody: the role's files, and what install.sh shares
# with the module client_settings.
BUNDLE_FILES = (
    *("install.sh", "check.sh", "lib/client/__init__.py", "lib/client/__main__.py"),
    *("lib/client/check.py", "lib/client/proxies.py"),
)
BUNDLE_LIBRARY = (
    *("settings_json", "settings_toml", "settings_lines", "settings_install"),
    *("client_requests", "prompt_speed"),
)


def bundle_texts(roles: str) -> dict[str, str]:
    """Return path to text of that part, below the folder of this collection's roles."""
    role = os.path.join(roles, "clients", "files")
    library = os.path.join(roles, "..", "plugins", "module_utils", "clients")
    return {
        **{name: text(name, os.path.join(role, "bundle")) for name in BUNDLE_FILES},
        **{f"lib/client/{name}.py": text(f"{name}.py", library) for name in BUNDLE_LIBRARY},
        "lib/client/requests.json": text("requests.json", role),
    }


class FilterModule:
    def filters(self):
        return guarded(
            {
                "client_members": members.members,
                "client_names": settings.known,
                "client_models": members.chat_models,
                "client_shared_models": members.shared_models,
                "client_accounts": members.accounts,
                "client_entries": settings.entries,
                "client_bundle_files": bundle.files,
                "client_bundle_texts": bundle_texts,
                "client_portal_site": portal.site,
                "client_text": text,
                "client_wrappers": settings.wrappers,
            }
        )
