# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""rsyslogd in the platform's image: shipper, collector, and a SIEM's listener."""

from __future__ import annotations

import os
from pathlib import Path

# A listener as RFC 5425 asks for, which wants to know its clients, too.
LISTENER = """
global(workDirectory="/state" maxMessageSize="128k")
module(load="imtcp")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="in") { action(type="omfile" file="/logs/received.log" template="raw") }
input(type="imtcp" port="6514" ruleset="in"
  streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="%s" permittedPeer=["%s"]
  streamDriver.caFile="/secrets/ca.crt" streamDriver.certFile="/secrets/own.crt"
  streamDriver.keyFile="/secrets/own.key")
"""


class Rsyslog:
    """One instance, with directories of its own that outlive its container."""

    def __init__(self, docker, image: str, home: Path, name: str, user: str = "65534:65534"):
        self.docker, self.image, self.home, self.name, self.user = docker, image, home, name, user
        self.container = ""
        self.command = ["rsyslogd", "-n", "-i", "NONE", "-f", "/config/rsyslog.conf"]
        self.mounts: dict[str, Path] = {}
        for place in ("config", "secrets", "state", "logs"):
            self.mount(f"/{place}", home / place)

    def mount(self, place: str, folder: Path) -> Path:
        """Let it have a folder at a place."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        self.mounts[place] = folder
        return folder

    def configure(self, text: str, authority, pair, **further: Path) -> None:
        """Give it its configuration, whom it trusts, and what it proves itself with."""
        (self.home / "config/rsyslog.conf").write_text(text)
        files = {"ca.crt": authority.certificate, "own.crt": pair[0], "own.key": pair[1]}
        for name, path in {**files, **further}.items():
            (self.home / "secrets" / name).write_bytes(path.read_bytes())
            (self.home / "secrets" / name).chmod(0o644)

    def start(self, *command: str, **env: str) -> None:
        """Start it, or start it anew."""
        if self.container:
            self.docker.run("start", self.container)
            return
        mounts = [f"--volume={folder}:{place}" for place, folder in self.mounts.items()]
        options = (f"--user={self.user}", "--read-only", "--tmpfs=/tmp", "--memory=192m")
        self.container = self.docker.start(
            self.name, self.image, *options, *mounts, command=command or self.command, env=env
        )

    def stop(self) -> None:
        """Stop it as an engine does: with the image's signal."""
        self.docker.run("stop", self.container)

    def say_goodbye(self) -> None:
        """Have it close its connections properly, and end."""
        self.docker.run("kill", "--signal=TERM", self.container)
        self.docker.run("wait", self.container)

    def text(self, pattern: str = "received.log") -> str:
        """Return what is in its files."""
        return "".join(path.read_text(errors="replace") for path in self.paths(pattern))

    def paths(self, pattern: str) -> list[Path]:
        """Return its files that match, as far as they stay that long."""
        return [path for path in (self.home / "logs").glob(pattern) if os.path.exists(path)]
