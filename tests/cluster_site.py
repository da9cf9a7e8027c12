# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The example inventory of a cluster in a directory of a test, and playbooks that run with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import support
import yaml

EXAMPLE = support.REPOSITORY / "inventories" / "enterprise"
NAMESPACE = "intranet-mcp"


def changes(said: str) -> int:
    """Return the number of tasks that changed something in the cluster, by the recap."""
    return int(re.search(r"^cluster\s*:.* changed=(\d+) ", said, re.MULTILINE)[1])


class Site:
    """A copy of the example, which may be changed, and the cluster that a kubeconfig leads to.

    within: a command that runs others. environment: further variables of playbooks.
    """

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path | str,
        within: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.inventory = folder / "inventory"
        self.within = within
        self._environment = {"KUBECONFIG": str(kubeconfig), **(environment or {})}
        shutil.copytree(EXAMPLE, self.inventory, ignore=shutil.ignore_patterns(".*"))

    def write(self, name: str, content: dict) -> None:
        """Write a file of the inventory; of a group's files the last by name counts."""
        (self.inventory / name).write_text(yaml.safe_dump(content))

    def run(self, playbook: str, *options: str, seconds: int = 600) -> str:
        """Run a playbook; returns what it said."""
        done = self.try_to_run(playbook, *options, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_to_run(
        self, playbook: str, *options: str, seconds: int = 600
    ) -> subprocess.CompletedProcess:
        """Run a playbook that may fail."""
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.run(
            [
                *self.within,
                program,
                "-i",
                self.inventory,
                f"playbooks/{playbook}",
                "--diff",
                *options,
            ],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", **self._environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def files(self) -> dict[str, str]:
        """Return what render.yml wrote, by the names of the files."""
        folder = self.inventory / ".intranet-mcp" / "kubernetes" / "cluster"
        return {path.name: path.read_text() for path in folder.iterdir()}

    def put_into_cluster(self, group: str) -> None:
        """Have the cluster as the host of a group of the platform."""
        listed = yaml.safe_load((self.inventory / "hosts.yml").read_text())
        listed["all"]["children"]["platform"]["children"][group] = {"hosts": {"cluster": {}}}
        self.write("hosts.yml", listed)

    def secrets(self) -> dict[str, str]:
        """Return the platform's secrets by name."""
        folder = self.inventory / ".intranet-mcp" / "secrets"
        return {path.name: path.read_text().strip() for path in folder.iterdir() if path.is_file()}
