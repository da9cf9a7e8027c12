"""Read the configuration file; name every problem, each with what was expected."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import typing
from urllib.parse import urlsplit

import msgspec
import yaml

from mcp_gateway import peruser
from mcp_gateway.address import is_loopback
from mcp_gateway.settings import Auth, Config, PerUser, Secret, Section, Upstream

SERVER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# It becomes a header: visible ASCII alone.
PORTAL_URL = re.compile(r"https?://[!-~]+")
SHA256 = re.compile(r"[0-9a-f]{64}")


class ConfigError(Exception):
    """The configuration cannot be used; `problems` lists every reason."""

    def __init__(self, path: str, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {p}" for p in problems))


def load(path: str) -> Config:
    """The configuration in `path`, or ConfigError with one line a problem."""
    try:
        with open(path, encoding="utf-8") as handle:
            raw = yaml.safe_load(handle)
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(path, [f"is not valid YAML: {_one_line(error)}"]) from None
    return parse(raw if raw is not None else {}, path)


def parse(raw: object, path: str = "config") -> Config:
    """Turn loaded YAML into a Config; raise ConfigError naming all problems."""
    problems: list[str] = []
    config = _section(Config, raw, "", problems)
    if not problems:
        config = _with_own_address(config, problems)
        problems.extend(_checks(config))
    if problems:
        raise ConfigError(path, problems)
    return config


def is_named(url: str, peer: str) -> bool:
    """Whether a peer is a name that may stand for this URL's address: its other parts agree."""
    own, named = urlsplit(url), urlsplit(peer)
    parts = [(part.scheme, part.port, part.path) for part in (own, named)]
    return parts[0] == parts[1] and is_address(own.hostname) and not is_address(named.hostname)


def is_address(host: str | None) -> bool:
    """Whether a host is an address, and no name."""
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _with_own_address(config: Config, problems: list[str]) -> Config:
    """The configuration with this replica's own address where it names a variable: ${POD_IP}.

    Replicas of a cluster have one file in common, and each its address in its environment.
    """

    def value(match: re.Match[str]) -> str:
        text = os.environ.get(match[1], "")
        if not text:
            problems.append(f"sessions.peer_url: the environment has no {match[1]}")
        return f"[{text}]" if ":" in text else text

    url = re.sub(r"[$][{](\w+)[}]", value, config.sessions.peer_url or "")
    sessions = msgspec.structs.replace(config.sessions, peer_url=url or None)
    return msgspec.structs.replace(config, sessions=sessions)


def read_secret(secret: Secret, where: str) -> str:
    """The value a Secret points to. The value itself never appears in an error."""
    if secret.file:
        try:
            with open(secret.file, encoding="utf-8") as handle:
                return secret.prefix + handle.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(
                where, [f"secret file {secret.file} cannot be read: {reason}"]
            ) from None
    value = os.environ.get(secret.env or "")
    if value is None:
        raise ConfigError(where, [f"environment variable {secret.env} is not set"])
    return secret.prefix + value


def _section(kind: type, raw: object, where: str, problems: list[str]) -> typing.Any:
    """Convert one mapping field by field, so that one mistake does not hide the next."""
    if not isinstance(raw, dict):
        problems.append(f"{where or 'the file'}: expected a mapping, found {_kind(raw)}")
        return None
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in msgspec.structs.fields(kind)}
    values: dict[str, typing.Any] = {}
    for key, value in raw.items():
        option = f"{where}.{key}" if where else str(key)
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, 1)
            hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(sorted(fields))
            problems.append(f"{option}: unknown option; {hint}")
            continue
        values[key] = _value(hints[key], value, option, problems)
    for name, field in fields.items():
        if field.required and name not in raw:
            problems.append(f"{where}.{name}: is required".lstrip("."))
    return None if problems else kind(**values)


def _value(hint: typing.Any, value: object, where: str, problems: list[str]) -> typing.Any:
    options = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is not dict and type(None) in typing.get_args(hint):
        if value is None:
            return None
        hint = options[0] if len(options) == 1 else hint
    if isinstance(hint, type) and issubclass(hint, Section):
        return _section(hint, value, where, problems)
    inner = typing.get_args(hint)[-1] if typing.get_args(hint) else None
    if isinstance(inner, type) and issubclass(inner, Section):
        if typing.get_origin(hint) is list and isinstance(value, list):
            return [_section(inner, v, f"{where}[{i}]", problems) for i, v in enumerate(value)]
        if typing.get_origin(hint) is dict and isinstance(value, dict):
            return {k: _section(inner, v, f"{where}.{k}", problems) for k, v in value.items()}
    try:
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {_one_line(error)}".replace("`", ""))
        return None


def _checks(config: Config) -> typing.Iterator[str]:
    """Rules that no single type can state."""
    yield from _check_auth(config)
    for name, upstream in config.upstreams.items():
        if not SERVER_NAME.fullmatch(str(name)) or "__" in name or name.endswith("_"):
            yield (
                f"upstreams.{name}: server names are lower-case letters, digits, - and single _, "
                "start with a letter and have at most 32 characters"
            )
        yield from _check_upstream(f"upstreams.{name}", upstream)
        if upstream.per_user is not None:
            where = f"upstreams.{name}.per_user"
            yield from peruser.check(where, upstream.per_user, upstream, config.credentials)
            yield from _check_issuer(f"{where}.exchange", upstream.per_user, config.auth)
    for i, rule in enumerate(config.policy.rules):
        if not rule.name:
            yield f"policy.rules[{i}].name: must not be empty: refusals cite it"
    for path in config.sessions.key_files:
        if not os.access(path, os.R_OK):
            yield f"sessions.key_files: {path} cannot be read; expected a file with 32 random bytes"
    own = config.sessions.peer_url
    if own and not any(peer == own or is_named(own, peer) for peer in config.sessions.peers):
        yield (
            f"sessions.peers: found {config.sessions.peers}, expected the peer_url of every "
            f"replica, {own} among them, or a name that stands for their addresses"
        )
    if bool(config.listen.tls_cert_file) != bool(config.listen.tls_key_file):
        yield "listen: tls_cert_file and tls_key_file must be set together"
    if (portal := config.listen.portal_url) is not None and not PORTAL_URL.fullmatch(portal):
        yield f"listen.portal_url: found {portal!r}, expected an http:// or https:// address"


def _check_auth(config: Config) -> typing.Iterator[str]:
    auth = config.auth
    authorities = [auth.litellm, auth.static_keys, auth.static_keys_file, auth.oidc]
    if auth.none and any(authorities):
        yield "auth: none cannot be combined with litellm, static_keys or oidc; remove one"
    if not auth.none and not any(authorities):
        yield (
            "auth: nobody could log in; expected litellm, static_keys, static_keys_file or oidc "
            "(or none: true on a loopback address)"
        )
    if auth.none and not is_loopback(config.listen.host):
        yield (
            f"auth.none: allowed only on a loopback address, listen.host is {config.listen.host}; "
            "set listen.host to 127.0.0.1 or configure credentials"
        )
    for i, key in enumerate(auth.static_keys):
        given = [key.sha256, key.key_file, key.key_env]
        if sum(1 for g in given if g) != 1:
            yield f"auth.static_keys[{i}]: set exactly one of sha256, key_file, key_env"
        if key.sha256 and not SHA256.fullmatch(key.sha256):
            yield f"auth.static_keys[{i}].sha256: expected 64 lower-case hexadecimal digits"
    for i, issuer in enumerate(auth.oidc):
        if any({"d", "k"} & key.keys() for key in issuer.jwks):
            yield f"auth.oidc[{i}].jwks: found a private or shared key, expected public ones"


def _check_issuer(where: str, own: PerUser, auth: Auth) -> typing.Iterator[str]:
    """Tokens are exchanged where those of callers come from."""
    known = [authority.issuer for authority in auth.oidc]
    if own.exchange is not None and own.exchange.issuer not in known:
        found = own.exchange.issuer
        yield f"{where}.issuer: found {found!r}, expected one of auth.oidc ({', '.join(known)})"


def _check_upstream(where: str, up: Upstream) -> typing.Iterator[str]:
    if up.type == "stdio":
        if not up.command:
            yield f"{where}.command: is required for type stdio"
        if up.url:
            yield f"{where}.url: does not belong to type stdio; remove it"
    else:
        parts = urlsplit(up.url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield f"{where}.url: found {up.url!r}, expected an http:// or https:// address"
        if up.command:
            yield f"{where}.command: does not belong to type {up.type}; remove it"
    if up.type == "sse" and up.era == "modern":
        yield f"{where}.era: the sse transport is legacy only; use legacy or auto"
    for option in ("headers_from_files", "env_from"):
        for key, secret in getattr(up, option).items():
            if bool(secret.file) == bool(secret.env):
                yield f"{where}.{option}.{key}: set exactly one of file, env"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", type(None): "nothing", bool: "a boolean"}
    return names.get(type(value), "a number")
