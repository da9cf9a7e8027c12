# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A host as engineers have it: reached by SSH on a port of its own, by an ordinary user who may use
sudo with a password; and ansible-playbook as they run it, without a configuration of ours."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PORT = 2222
USER = "admin"
SET_UP = f"""
set -eu
useradd --create-home --shell /bin/bash --groups sudo {USER}
read -r password
echo "{USER}:$password" | chpasswd
install -d -o {USER} -g {USER} -m 0700 /home/{USER}/.ssh
cat >/home/{USER}/.ssh/authorized_keys
ssh-keygen -q -A
mkdir -p /run/sshd
/usr/sbin/sshd -p {PORT}
"""


class SshHost:
    """The host's container; `folder` is where an engineer works, with an inventory in `inv`."""

    def __init__(self, docker, folder: Path) -> None:
        self.docker, self.folder = docker, folder
        self.name = f"itest-ssh-{docker.suffix}-{secrets.token_hex(2)}"
        build = [ROOT / "tests/images/host/build.sh"]
        built = subprocess.run(build, capture_output=True, text=True, check=True)
        docker.containers.append(self.name)
        options = ["run", "-d", "--init", "--name", self.name, "--network", docker.network]
        docker.run(*options, "--entrypoint", "sleep", built.stdout.split()[-1], "infinity")
        self._let_in()
        self._write_inventory()

    def _let_in(self) -> None:
        """Make user, password and keys, all of them new; know the host by its key."""
        key = self.folder / "key"
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", key], check=True)
        password = secrets.token_hex(12)
        (self.folder / "password").write_text(password)
        (self.folder / "password").chmod(0o600)
        subprocess.run(
            ["docker", "exec", "--interactive", self.name, "sh", "-c", SET_UP],
            input=f"{password}\n{key.with_suffix('.pub').read_text()}",
            text=True,
            check=True,
        )
        listed = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = self.docker.run("inspect", "--format", listed, self.name)
        public = self.run("cat /etc/ssh/ssh_host_ed25519_key.pub")
        (self.folder / "known_hosts").write_text(f"[{self.address}]:{PORT} {public}\n")

    def _write_inventory(self) -> None:
        (self.folder / "inv").mkdir()
        (self.folder / "inv/hosts.yml").write_text(
            f"all:\n  vars: {{ansible_user: {USER}, ansible_port: {PORT}, ansible_become: true}}\n"
            f"  hosts: {{llm1: {{ansible_host: {self.address}}}}}\n"
        )

    def run(self, command: str) -> str:
        """Run a command as the host's root, past SSH."""
        return self.docker.run("exec", self.name, "sh", "-c", command)

    def start_play(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Start ansible-playbook in the folder, with nothing set but what an engineer would set."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
        ssh = f"-o UserKnownHostsFile='{self.folder}/known_hosts' -o IdentitiesOnly=yes"
        return subprocess.Popen(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                *("-i", "inv", "--private-key", self.folder / "key"),
                *("--become-password-file", "password", "--ssh-common-args", ssh),
                *arguments,
            ],
            cwd=self.folder,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
                "ANSIBLE_HOME": str(self.folder / "home"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
