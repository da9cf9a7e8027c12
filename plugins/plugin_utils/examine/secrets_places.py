# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where secrets lie on the control node, and who may read them there."""

from __future__ import annotations

import glob
import os

from ansible.inventory.manager import IGNORED


def secret_modes(directory):
    """Modes of the secrets' directory and its files."""
    paths = [directory, *glob.glob(os.path.join(directory, "*"))] if directory else []
    return {path: os.stat(path).st_mode for path in paths if os.path.exists(path)}


def known_secrets(task_vars, template, directory):
    """Names of the secrets that the inventory gives, or that runs before this one have made."""
    given = template(task_vars.get("platform_secrets") or {})
    kept = os.listdir(directory) if directory and os.path.isdir(directory) else []
    return {*(name for name, value in given.items() if value), *kept}


def secrets_places(task_vars):
    """Where each host of the play has its secrets: where it says, or where all have them."""
    hosts = {name: task_vars["hostvars"][name] for name in task_vars["ansible_play_hosts_all"]}
    return {
        name: os.path.realpath(said)
        if (said := variables.get("platform_secrets_dir"))
        else "the place that is theirs without platform_secrets_dir"
        for name, variables in hosts.items()
    }


def places_read_as_inventory(task_vars, arguments):
    """The secrets' directory, by the inventory whose reading comes upon it."""
    directory = os.path.realpath(arguments.get("secrets_directory") or "")
    found = {}
    for source in map(os.path.realpath, task_vars.get("ansible_inventory_sources") or []):
        names = os.path.relpath(directory, source).split(os.sep)
        is_below = os.path.isdir(source) and names[0] != os.pardir
        if is_below and not any(IGNORED.search(name.encode()) for name in names):
            found[source] = directory
    return found
