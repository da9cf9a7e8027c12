# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The site's secrets on the control node: generated once, private, never overwritten."""

from __future__ import annotations

import os
import re
import secrets
import string
import tempfile

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

_ALPHABET = string.ascii_letters + string.digits


class SecretError(ServiceError):
    """A secret that cannot be had; it never says the value."""

    reason = "secret"


class Secrets:
    """A folder of secrets, one a file. `given` (Ansible Vault) wins over the folder.

    With `is_dry` a missing secret is not written; a throwaway value stands in for it. One of
    `others` is never generated, since a server elsewhere has it; where it is missing it is empty.
    """

    def __init__(
        self,
        folder: str,
        given: dict[str, str],
        is_dry: bool = False,
        others: frozenset[str] = frozenset(),
    ) -> None:
        self._folder = folder
        self._given = given
        self._is_dry = is_dry
        self._others = others

    def get(self, name: str, prefix: str = "", length: int = 40) -> str:
        """The value of the secret; generated when there is none: prefix and `length` characters."""
        if self._given.get(name):
            return self._given[name]
        path = self._path(name)
        if not os.path.exists(path):
            if name in self._others:
                return ""
            value = prefix + "".join(secrets.choice(_ALPHABET) for _unused in range(length))
            if self._is_dry:
                return value
            _write_once(path, value)
        return _read(path)

    def _path(self, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise SecretError(
                f"{name!r} is no file name", "letters, digits, '.', '_' and '-'", "correct the name"
            )
        if not self._folder:
            raise SecretError(
                f"{name!r} has no home, as platform_secrets_dir is empty",
                "a place for secrets",
                "run with -i inventories/NAME, or set platform_secrets_dir",
            )
        return os.path.join(self._folder, name)


def _write_once(path: str, value: str) -> None:
    """Create the file whole and private; if another run was first, its value stays."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(value + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        value = file.read().strip()
    if not value:
        raise SecretError(
            f"{path} is empty",
            "a secret",
            "restore its value, or delete it to have a new one made (a new LiteLLM salt key makes "
            "stored credentials unreadable)",
        )
    return value
