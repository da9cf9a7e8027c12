"""The configuration as it is written: one YAML file, checked as a whole, without secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

# Nothing that hides from a person, or another reader, where it leads.
ELSEWHERE = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?"
)

# How a client says who it is at a token endpoint, unless its settings say another way.
BASIC: Literal["client_secret_basic"] = "client_secret_basic"


class ConfigError(Exception):
    """The configuration cannot be used; says why."""


class Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A mapping in which unknown keys are mistakes."""


class Listen(Section):
    # Where people find the portal: https, since a session must not travel in the clear.
    public_url: str
    host: str = "127.0.0.1"
    port: int = 8090
    # Load balancers in front, whose X-Forwarded-For is believed.
    trusted_proxies: list[str] = []


class Claims(Section):
    """Names of the claims that say who somebody is."""

    name: str = "preferred_username"
    email: str = "email"
    groups: str = "groups"


class Membership(Section):
    """A row of the table: who is in this group of the company works in this team."""

    group: str
    team: str


class Oidc(Section):
    issuer: str
    client_id: str
    client_secret_file: str
    teams: list[Membership]
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    claims: Claims = Claims()
    ca_file: str | None = None
    leeway_seconds: int = 60
    timeout_seconds: float = 5


class Litellm(Section):
    url: str
    key_file: str
    # What a person's key may call.
    routes: list[str]
    timeout_seconds: float = 10


class Oauth(Section):
    """The portal as a client of a tool server's own authorization server (RFC 6749, RFC 7636)."""

    client_id: str
    authorization_endpoint: str
    token_endpoint: str
    # None: a public client, which has PKCE alone.
    client_secret_file: str | None = None
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post"] = BASIC
    # RFC 7009. None: deleting a token here does not revoke it there.
    revocation_endpoint: str | None = None
    scopes: list[str] = []


class Credentials(Section):
    """Of people's own, for tool servers. The gateway has the same key and Redis."""

    key_file: str
    redis_url_file: str
    # Servers, by name, that people connect with one click in place of pasting a token.
    oauth: dict[str, Oauth] = {}
    # One that nobody used for so long is deleted.
    keep_seconds: int = 90 * 86400


class Authorization(Section):
    """For programs that sign people in by themselves: then the portal is their server (OAuth)."""

    # What tokens are signed with follows from it, and the gateway knows the public half.
    key_file: str
    # Addresses of the gateway that tokens may be for.
    resources: list[str]
    # Where programs may be led to besides the person's own machine, exactly.
    redirect_uris: list[str] = []
    # Globs: which groups tokens tell, since rules of the gateway name them.
    groups: list[str] = []


class Config(Section):
    listen: Listen
    oidc: Oidc
    litellm: Litellm
    gateway_url: str
    # What people are told: addresses, models with their sizes, servers, settings for each CLI.
    site_file: str
    # What verify found last; there is no page of it without.
    status_file: str | None = None
    # Sessions are in this Redis, so that every replica knows them; without it in memory.
    redis_url_file: str | None = None
    credentials: Credentials | None = None
    # Groups of the company whose members see everybody, and end sessions and keys of others.
    administrator_groups: list[str] = []
    authorization: Authorization | None = None
    # Counted from the sign-in, for keys and sessions alike.
    lifetime_seconds: int = 12 * 3600
    # How often the provider is asked whether people are still in their groups, where it gives
    # refresh tokens. 0: at the sign-in alone.
    recheck_seconds: int = 300


def load(path: str) -> Config:
    """Return the configuration, or raise ConfigError."""
    try:
        config = msgspec.yaml.decode(Path(path).read_bytes(), type=Config)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return checked(config, path)


def checked(config: Config, path: str = "config") -> Config:
    """Return the configuration, once it is one that protects a session."""
    public, issuer = urlsplit(config.listen.public_url), urlsplit(config.oidc.issuer)
    for name, url in (("listen.public_url", public), ("oidc.issuer", issuer)):
        if not _is_protected(url.geturl()):
            raise ConfigError(f"{path}: {name} is {url.geturl()!r}, expected an https address")
    if config.credentials is not None:
        for server, client in config.credentials.oauth.items():
            _check_oauth(f"{path}: credentials.oauth.{server}", client)
    if not all(config.administrator_groups):
        raise ConfigError(f"{path}: administrator_groups has an empty name, expected groups")
    if config.authorization is not None:
        _check_authorization(config.authorization, path)
    if not 300 <= config.lifetime_seconds <= 30 * 86400:
        raise ConfigError(f"{path}: lifetime_seconds must be from 300 to {30 * 86400}")
    # A provider ends what is idle for long: Keycloak, as it is delivered, after 30 minutes.
    if config.recheck_seconds and not 60 <= config.recheck_seconds <= 3600:
        raise ConfigError(f"{path}: recheck_seconds must be 0, or from 60 to 3600")
    return config


def _is_protected(address: str) -> bool:
    """Whether nobody reads what is sent there on its way."""
    url = urlsplit(address)
    is_here = url.hostname in ("127.0.0.1", "localhost")
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and is_here))


def _check_oauth(where: str, client: Oauth) -> None:
    for name in ("authorization_endpoint", "token_endpoint", "revocation_endpoint"):
        address = getattr(client, name)
        if address is not None and not _is_protected(address):
            raise ConfigError(f"{where}.{name} is {address!r}, expected an https address")
    if "openid" in client.scopes:
        raise ConfigError(f"{where}.scopes has openid, and ID tokens are of no use here; remove it")


def _check_authorization(authorization: Authorization, path: str) -> None:
    if not authorization.resources:
        raise ConfigError(f"{path}: authorization.resources is empty, expected the gateway's own")
    for uri in authorization.redirect_uris:
        if not ELSEWHERE.fullmatch(uri):
            raise ConfigError(
                f"{path}: authorization.redirect_uris has {uri!r}, expected an https address "
                "without a query"
            )


def secret(path: str) -> str:
    """Return what a file of secrets holds."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not text:
        raise ConfigError(f"{path} is empty, expected a secret")
    return text
