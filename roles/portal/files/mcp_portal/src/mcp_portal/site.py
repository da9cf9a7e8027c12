"""What the inventory says to people: addresses, models, servers, settings of the CLIs."""

from __future__ import annotations

import base64
import io
import tarfile
import textwrap
from pathlib import Path
from typing import Literal

import msgspec

from mcp_portal.settings import ConfigError

# What stands in a bundle where its owner's key and name belong.
KEY_PLACEHOLDER = "sk-intranet-mcp-portal-key"
ALIAS_PLACEHOLDER = "intranet-mcp-portal-alias"


class File(msgspec.Struct, frozen=True):
    path: str
    content: str
    mode: str = "0600"


class Client(msgspec.Struct, frozen=True):
    """Settings of one CLI: its files, as they are below a home."""

    name: str
    title: str
    files: list[File]


class Team(msgspec.Struct, frozen=True):
    """What members of a team are given."""

    clients: list[Client] = []
    # Files of the bundle that differ from team to team.
    files: list[File] = []


class Model(msgspec.Struct, frozen=True):
    name: str
    context: int = 0
    max_output: int = 0
    capabilities: list[str] = []


class Tools(msgspec.Struct, frozen=True):
    """Tools of a server that the inventory names."""

    offered: list[str] = []
    # The server's entry keeps them from everybody.
    left_out: list[str] = []


class Open(msgspec.Struct, frozen=True):
    """What the inventory opens to a team. None: everything."""

    models: list[str] | None = None
    # Globs of tools, by server.
    servers: dict[str, list[str]] | None = None


class Rule(msgspec.Struct, frozen=True):
    """A rule of the gateway that comes before what teams have."""

    name: str
    effect: Literal["allow", "deny"]
    teams: list[str]
    servers: list[str]
    tools: list[str]
    # Whether it is for certain keys or groups alone, which the portal does not know.
    is_for_some: bool = False


class Policy(msgspec.Struct, frozen=True):
    default: Literal["allow", "deny"] = "allow"
    rules: list[Rule] = []


class Site(msgspec.Struct, frozen=True):
    litellm_url: str
    gateway_url: str
    # Whether machines have to be told who signed the platform's certificate, as bundles do.
    has_own_ca: bool = False
    models: list[Model] = []
    # Name and purpose of each MCP server, whoever may use it.
    servers: dict[str, str] = {}
    # Those at which each person shows a credential of their own, and what each is for: where the
    # credential goes. The gateway has the same.
    personal: dict[str, str] = {}
    tools: dict[str, Tools] = {}
    open: dict[str, Open] = {}
    policy: Policy = Policy()
    teams: dict[str, Team] = {}
    # Files that are the same in everybody's bundle.
    files: list[File] = []

    def bundle(self, team: str, key: str, alias: str) -> bytes:
        """Return somebody's bundle: a gzipped archive with one folder."""
        files = [*self.files, *self.teams[team].files]
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file in files:
                text = _filled(file.content, key, alias).encode()
                entry = tarfile.TarInfo(f"intranet-mcp/{file.path}")
                entry.size, entry.mode = len(text), int(file.mode, 8)
                archive.addfile(entry, io.BytesIO(text))
        return packed.getvalue()

    def installer(self, team: str, key: str, alias: str) -> str:
        """Return a shell script that unpacks a bundle, runs its install.sh and removes it."""
        packed = base64.b64encode(self.bundle(team, key, alias)).decode()
        lines = "\n".join(textwrap.wrap(packed, 76))
        return INSTALLER.format(lines=lines)

    def settings(self, team: str) -> list[Client]:
        """Return the settings of each CLI, without a key."""
        return self.teams[team].clients if team in self.teams else []


INSTALLER = """\
#!/bin/sh
# Brings the platform's settings into your CLIs; ~/.config/intranet-mcp/bundle/install.sh --undo
# takes them out again.
set -eu
umask 077
home="$HOME/.config/intranet-mcp"
mkdir -p "$home"
rm -rf "$home/bundle"
base64 -d <<'END' | tar -xzf - -C "$home"
{lines}
END
mv "$home/intranet-mcp" "$home/bundle"
exec sh "$home/bundle/install.sh"
"""


def _filled(text: str, key: str, alias: str) -> str:
    return text.replace(KEY_PLACEHOLDER, key).replace(ALIAS_PLACEHOLDER, alias)


def load(path: str) -> Site:
    """Return what the role wrote, or raise ConfigError."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Site)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
