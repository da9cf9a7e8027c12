#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run `ansible-test sanity` on an installed copy of the collection, without the internet.

Usage: sanity.py COLLECTION_DIRECTORY [TEST ...]; without a test, all of them but those below.

ansible-test wants a path without symbolic links outside of any other Git repository, downloads a
pip bootstrap script, and hides PIP_* variables from the pip it runs. So it gets a home directory
of its own under .cache, with a bootstrap script that uses Python's ensurepip and with the pip
configuration that is valid here.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".cache" / "sanity-home"
PIP_VERSION = "24_2"  # the one ansible-test 2.19 asks for

SKIPPED = {
    "pslint": "there is no PowerShell, and the collection contains none",
    "shellcheck": "`make lint` runs the pinned one over all scripts",
    "pylint": "`make sanity` runs it, too; it computes for as long as all the others",
}

# Programs inside images and the tests are no Ansible code: `make lint` checks them with ruff.
EXCLUDED = [
    "roles/gateway/files/",
    "roles/image/files/",
    "roles/portal/files/",
    "roles/tool_server/files/",
    "molecule/",
    "tests/",
]

BOOTSTRAP = "import ensurepip\nensurepip.bootstrap()\n"


def pip_configuration() -> str:
    """Return what pip was told by files and variables as one configuration file."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    lines = ["[global]"]
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if section in ("global", ":env:") and option != "disable-pip-version-check":
            lines.append(f"{option} = {ast.literal_eval(value)}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def prepare_home() -> None:
    """Write what pip and ansible-test look for in the home directory."""
    bootstrap = HOME / ".ansible" / "test" / "cache" / f"get_pip_{PIP_VERSION}.py"
    bootstrap.parent.mkdir(parents=True, exist_ok=True)
    bootstrap.write_text(BOOTSTRAP)
    configuration = HOME / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.touch(mode=0o600)
    configuration.write_text(pip_configuration())


def main() -> int:
    """Run the sanity tests and return their exit status."""
    directory = Path(sys.argv[1]).resolve()
    prepare_home()
    chosen = sys.argv[2:]
    for test, reason in {} if chosen else SKIPPED.items():
        print(f"skipped: sanity test {test}: {reason}")
    sys.stdout.flush()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--python", version, "--color", "no"]
    command += [word for test in chosen for word in ("--test", test)]
    command += [word for test in SKIPPED if not chosen for word in ("--skip-test", test)]
    command += [
        argument
        for target in EXCLUDED
        if (directory / target).is_dir()
        for argument in ("--exclude", target)
    ]
    environment = {**os.environ, "HOME": str(HOME)}
    return subprocess.run(command, cwd=directory, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
