"""Keys from the configuration, known by their SHA-256 only."""

from __future__ import annotations

import typing

import yaml

from mcp_gateway.config import ConfigError, _section, read_secret
from mcp_gateway.identify import Principal, digest
from mcp_gateway.settings import Secret, StaticKey


class StaticKeys:
    """The keys of `auth.static_keys` and `auth.static_keys_file`."""

    name = "static"

    def __init__(self, keys: list[StaticKey], path: str | None = None) -> None:
        self._by_digest: dict[str, Principal] = {}
        for key in [*keys, *(_read(path) if path else [])]:
            hashed = key.sha256 or digest(_plain(key))
            self._by_digest[hashed] = Principal(
                id=hashed[:16],
                alias=key.alias,
                team=key.team,
                groups=tuple(key.groups),
                source=self.name,
            )

    def accepts(self, token: str) -> bool:
        return True

    def remembers(self, token: str) -> bool:
        return digest(token) in self._by_digest

    async def identify(self, token: str) -> Principal | None:
        # A look-up by digest: nothing about the key can be learned from its timing.
        return self._by_digest.get(digest(token))

    async def close(self) -> None:
        return None


def _plain(key: StaticKey) -> str:
    where = f"auth.static_keys {key.alias}"
    value = read_secret(Secret(file=key.key_file, env=key.key_env), where)
    if len(value) < 16:
        raise ConfigError(where, ["the key has fewer than 16 characters; generate a longer one"])
    return value


def _read(path: str) -> list[StaticKey]:
    try:
        with open(path, encoding="utf-8") as handle:
            raw = yaml.safe_load(handle) or []
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not valid YAML"
        raise ConfigError(path, [f"cannot be read: {reason}"]) from None
    if not isinstance(raw, list):
        raise ConfigError(path, ["expected a list of keys, each with alias and sha256"])
    problems: list[str] = []
    keys: list[typing.Any] = [_section(StaticKey, r, f"[{i}]", problems) for i, r in enumerate(raw)]
    if not problems:
        problems += [
            f"[{i}]: set exactly one of sha256, key_file, key_env"
            for i, k in enumerate(keys)
            if sum(1 for v in (k.sha256, k.key_file, k.key_env) if v) != 1
        ]
    if problems:
        raise ConfigError(path, problems)
    return keys
