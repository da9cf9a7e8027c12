"""The configuration file's shape: every section, option, type and default.

Only data lives here. `config.py` reads a file into these structs and explains what is wrong.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

# How a client says who it is, unless its settings say another way.
BASIC: Literal["client_secret_basic"] = "client_secret_basic"


def _list(*items: str) -> list[str]:
    """A default that is a fresh list each time."""
    return msgspec.field(default_factory=lambda: list(items))


class Section(msgspec.Struct, kw_only=True, frozen=True):
    """One mapping of the configuration file."""


class Secret(Section):
    """A header or environment value that comes from a file or the process environment."""

    file: str | None = None
    env: str | None = None
    prefix: str = ""


class Listen(Section):
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    # The page for people: browsers at `/` are sent there.
    portal_url: str | None = None
    allowed_hosts: list[str] = []
    allowed_origins: list[str] = []
    trusted_proxies: list[str] = []
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    trust_caller_header: bool = False


class LitellmAuth(Section):
    url: str
    cache_seconds: float = 30
    negative_cache_seconds: float = 10
    grace_seconds: float = 600
    timeout_seconds: float = 5
    ca_file: str | None = None
    administrators: list[str] = _list("default_user_id")
    sign_on_makers: list[str] = []
    known_teams: list[str] | None = None
    known_keys: list[str] = []


class StaticKey(Section):
    alias: str
    sha256: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    team: str = ""
    groups: list[str] = []


class OidcTeam(Section):
    group: str
    team: str


class OidcAuth(Section):
    issuer: str
    audience: str | list[str]
    jwks_url: str | None = None
    jwks: list[dict[str, Any]] = []
    announced: bool = True
    subjects_are_people: bool = False
    algorithms: list[str] = _list("RS256", "ES256", "EdDSA")
    required_scopes: list[str] = []
    alias_claim: str = "preferred_username"
    team_claim: str = "team"
    groups_claim: str = "groups"
    teams: list[OidcTeam] = []
    leeway_seconds: float = 30
    jwks_cache_seconds: float = 600
    timeout_seconds: float = 5
    ca_file: str | None = None


class Auth(Section):
    none: bool = False
    litellm: LitellmAuth | None = None
    static_keys: list[StaticKey] = []
    static_keys_file: str | None = None
    oidc: list[OidcAuth] = []
    monitoring_key_file: str | None = None


class Rule(Section):
    name: str
    effect: Literal["allow", "deny"] = "allow"
    teams: list[str] = []
    keys: list[str] = []
    groups: list[str] = []
    servers: list[str] = _list("*")
    tools: list[str] = _list("*")
    prompts: list[str] = _list("*")
    resources: list[str] = _list("*")


class Policy(Section):
    default: Literal["allow", "deny"] = "allow"
    rules: list[Rule] = []


class Sessions(Section):
    key_files: list[str] = []
    max_age_seconds: float = 7 * 86400
    idle_seconds: float = 3600
    initialize_seconds: float = 5
    peer_url: str | None = None
    peers: list[str] = []


class Limits(Section):
    request_timeout_seconds: float = 120
    call_max_seconds: float = 3600
    body_bytes: int = 4 * 1024 * 1024
    header_bytes: int = 32 * 1024
    header_seconds: float = 10
    connections: int = 2000
    connections_per_address: int = 500
    auth_failures_per_minute: int = 60
    response_bytes: int = 64 * 1024 * 1024
    calls: int = 512
    calls_per_caller: int = 64
    in_flight_bytes: int = 128 * 1024 * 1024
    in_flight_bytes_per_caller: int = 72 * 1024 * 1024
    sessions_per_caller: int = 100
    streams_per_caller: int = 50
    stream_buffer_messages: int = 1000
    slow_reader_seconds: float = 30
    keepalive_seconds: float = 15
    input_wait_seconds: float = 300
    drain_delay_seconds: float = 0
    drain_seconds: float = 20
    list_page_size: int = 1000
    list_items: int = 2000
    list_bytes: int = 4 * 1024 * 1024
    item_bytes: int = 128 * 1024


class RateLimit(Section):
    requests_per_minute: int = 0
    burst: int = 0
    redis_url_file: str | None = None
    redis_url: str | None = None


class Audit(Section):
    file: str = "-"
    stdout: bool = False
    rotate_bytes: int = 64 * 1024 * 1024
    keep_files: int = 20
    max_queue_lines: int = 100_000


class Drift(Section):
    action: Literal["log", "block"] = "log"
    accepted_file: str | None = None


class Credentials(Section):
    key_file: str | None = None
    redis_url_file: str | None = None
    redis_url: str | None = None
    page_url: str | None = None
    keep_seconds: int = 90 * 86400


class TokenClient(Section, kw_only=True):
    """The gateway as a client of somebody's token endpoint (RFC 6749, 2.3)."""

    client_id: str
    client_secret: Secret | None = None
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post"] = BASIC
    ca_file: str | None = None


class Oauth(TokenClient, kw_only=True):
    token_endpoint: str


class Exchange(TokenClient, kw_only=True):
    issuer: str
    audience: str | None = None
    resource: str | None = None
    scopes: list[str] = []
    sign_in_url: str | None = None


class PerUser(Section):
    header: str
    prefix: str = ""
    audience: str = ""
    oauth: Oauth | None = None
    exchange: Exchange | None = None

    @property
    def client(self) -> TokenClient | None:
        """As which client tokens are asked for, where they are not just read."""
        return self.oauth or self.exchange


class Breaker(Section):
    failures: int = 5
    open_seconds: float = 15


class Upstream(Section):
    type: Literal["http", "sse", "stdio"]
    url: str | None = None
    headers: dict[str, str] = {}
    headers_from_files: dict[str, Secret] = {}
    ca_file: str | None = None
    command: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    env_from: dict[str, Secret] = {}
    cwd: str | None = None
    era: Literal["auto", "legacy", "modern"] = "auto"
    mode: Literal["shared", "per_session"] | None = None
    required: bool = False
    timeout_seconds: float | None = None
    connect_timeout_seconds: float = 5
    concurrency: int = 64
    max_processes: int = 32
    tools: list[str] = _list("*")
    caller_header: bool = False
    per_user: PerUser | None = None
    refresh_seconds: float = 60
    breaker: Breaker = Breaker()

    @property
    def is_shared(self) -> bool:
        """Whether all callers share one upstream session (or process)."""
        return (self.mode or ("per_session" if self.type == "http" else "shared")) == "shared"


class Config(Section):
    """The whole configuration file."""

    listen: Listen = Listen()
    auth: Auth = Auth()
    policy: Policy = Policy()
    sessions: Sessions = Sessions()
    limits: Limits = Limits()
    rate_limit: RateLimit = RateLimit()
    audit: Audit = Audit()
    on_drift: Drift = Drift()
    credentials: Credentials = Credentials()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    watch_config: bool = True
    upstreams: dict[str, Upstream] = {}
