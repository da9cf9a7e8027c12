# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Logins at registries for the time of a pull or push: what is written is gone afterwards."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
import threading

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import credential_helper
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import DOCKER_HUB

TOKEN_USER = "<token>"  # noqa: S105  the name stands for one

HUB_KEY = "https://index.docker.io/v1/"
MEMORY = "/run"  # on a tmpfs: what a killed run leaves behind is gone with the next boot


@contextlib.contextmanager
def environment(logins: list[dict]):
    """Yield variables that let the docker program log in; this user's own settings hold, too."""
    if not logins:
        yield {}
        return
    own = _own_directory()
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="intranet-mcp-login.", dir=place)  # mode 0700
    try:
        with open(os.open(_config(directory), os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            json.dump(merged(_read(_config(own)), logins), stream)
        contexts = os.path.join(own, "contexts")
        if os.path.isdir(contexts):
            os.symlink(contexts, os.path.join(directory, "contexts"))
        yield {"DOCKER_CONFIG": directory}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def merged(config: dict, logins: list[dict]) -> dict:
    """Return the docker program's settings with the logins added."""
    auths, helpers = dict(config.get("auths") or {}), dict(config.get("credHelpers") or {})
    for login in logins:
        key = HUB_KEY if login["registry"] == DOCKER_HUB else login["registry"]
        pair = f"{login['username']}:{login['password']}".encode()
        auths[key] = {"auth": base64.b64encode(pair).decode()}
        # An empty name says: in this file, whatever store of credentials is set for the others.
        helpers[key] = ""
    return {**config, "auths": auths, "credHelpers": helpers}


class OwnLogins:
    """This user's own logins at registries, found as the docker program finds them.

    Each is looked up once, and only when a registry asks for it: a credential helper may be slow.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._found: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"OwnLogins({sorted(self._found)})"

    def at(self, registry: str) -> dict:
        """Return {username, password, source}, {problem} where a helper fails, or nothing."""
        with self._lock:
            if registry not in self._found:
                self._found[registry] = self._look_up(registry)
            return self._found[registry]

    def _look_up(self, registry: str) -> dict:
        path = _config(_own_directory())
        config = _read(path)
        key = HUB_KEY if registry == DOCKER_HUB else registry
        # The program's own order: the helper of a registry, the store of all others, the file.
        helper = (config.get("credHelpers") or {}).get(key, config.get("credsStore"))
        try:
            if helper:
                found = credential_helper.ask(helper, key, self.seconds)
            else:
                found = _pair((config.get("auths") or {}).get(key))
        except Unusable as error:
            return {"problem": str(error)}
        if not found:
            return {}
        source = credential_helper.PROGRAM.format(helper) if helper else path
        return {"username": found[0], "password": found[1], "source": source}


def _pair(entry: object) -> tuple[str, str] | None:
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        if entry.get("identitytoken"):
            return TOKEN_USER, entry["identitytoken"]
        pair = base64.b64decode(entry.get("auth") or "").decode()
        username, colon, password = pair.partition(":")
        return (username, password) if colon else None
    return None


def _own_directory() -> str:
    return os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")


def _config(directory: str) -> str:
    return os.path.join(directory, "config.json")


def _read(path: str) -> dict:
    try:
        with open(path, encoding="utf-8") as stream:
            config = json.load(stream)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
