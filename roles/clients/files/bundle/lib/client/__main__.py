# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What install.sh and check.sh of a bundle run. Any Python of 3.8 or later, nothing else."""

from __future__ import annotations

import argparse
import json
import os
import sys

from . import check
from .settings_install import Installation, SettingsError

RECORD = os.path.join(".config", "intranet-mcp", "undo")


def main():
    """Return the exit status."""
    options = _options()
    with open(os.path.join(options.bundle, "platform.json"), encoding="utf-8") as stream:
        about = json.load(stream)
    home = os.path.expanduser("~")
    if options.verb == "check":
        return check.run(about, home, options.bundle)
    try:
        installation = Installation(home, os.path.join(home, RECORD))
        if options.undo:
            return _undo(installation)
        return _install(installation, about, options.bundle)
    except (SettingsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _options():
    parser = argparse.ArgumentParser(prog="install.sh or check.sh")
    parser.add_argument("bundle", help=argparse.SUPPRESS)
    parser.add_argument("verb", choices=["install", "check"], help=argparse.SUPPRESS)
    parser.add_argument("--undo", action="store_true", help="take the settings out again")
    return parser.parse_args()


def _install(installation, about, bundle):
    entries = [_with_settings(entry, bundle) for entry in about["entries"]]
    changes = installation.plan(entries)
    differing = [change for change in changes if change.differs]
    installation.apply(changes, entries)
    for change in differing:
        print(f"  {'changed' if change.before is not None else 'written'}  {change.path}")
    print(f"{len(differing)} files changed. Undo with: {bundle}/install.sh --undo")
    if differing:
        print(f"Open a new terminal, then check that all of it answers: {bundle}/check.sh")
    return 0


def _undo(installation):
    changes = installation.plan_undo()
    installation.apply_undo(changes)
    for change in changes:
        print(f"  {'removed ' if change.after is None else 'restored'}  {change.path}", end="")
        print(f"  ({change.note})" if change.note else "")
    print(f"The platform's settings are out of {len(changes)} files.")
    return 0


def _with_settings(entry, bundle):
    path = os.path.join(bundle, "files", *entry["path"].split("/"))
    with open(path, encoding="utf-8", newline="") as stream:
        return {**entry, "settings": stream.read()}


sys.exit(main())
