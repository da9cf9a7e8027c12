# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The platform's own authority, and the certificate of its balancers, as the role makes them."""

from __future__ import annotations

import sys
from pathlib import Path

import support
import yaml

INCLUDED = {"name": "intranet.mcp.load_balancer", "tasks_from": "own_ca"}
PLAY = [
    {
        "hosts": "load_balancer",
        "gather_facts": False,
        "tasks": [{"name": "Sign", "ansible.builtin.include_role": INCLUDED}],
    }
]
NAME = "llm.example.internal"


class Site:
    """Balancers of an inventory, and the certificates on its control node."""

    def __init__(self, folder: Path):
        self.folder, self.tls = folder, folder / "secrets" / "tls"
        (folder / "play.yml").write_text(yaml.safe_dump(PLAY))

    def run(self, hosts=1, network="192.0.2.", first=0, **variables):
        """Run the role's part; returns status and what was said.

        Each balancer has the next address of the network, from the first on.
        """
        found = {
            f"lb{number}": {"platform_address": f"{network}{first + number}"}
            for number in range(hosts)
        }
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_secrets_dir": str(self.folder / "secrets"),
            "platform_public_name": NAME,
            **({"platform_balancer_address": ["192.0.2.99/24"]} if hosts > 1 else {}),
            **variables,
        }
        group = {"load_balancer": {"hosts": {host: {} for host in found}}}
        inventory = {"all": {"vars": shared, "hosts": found, "children": group}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        done = support.run_playbook(self.folder / "hosts.yml", self.folder / "play.yml")
        return done.returncode, done.stdout + done.stderr
