"""What a caller may see and use: the policy, and what each server may show."""

from __future__ import annotations

from mcp_gateway import envelope
from mcp_gateway.authorize import Authorization, Verdict, matches
from mcp_gateway.call import Call
from mcp_gateway.identify import Principal
from mcp_gateway.refusal import Refusal
from mcp_gateway.servers import Servers
from mcp_gateway.upstream import Upstream


class Access:
    """One answer for lists, calls and streams alike."""

    def __init__(self, servers: Servers, authorization: Authorization) -> None:
        self._servers = servers
        self.authorization = authorization

    def sees(self, who: Principal, server: str) -> bool:
        """Whether something of the server may be open to the caller."""
        return self.authorization.sees_any(who, server)

    def view(self, call: Call) -> list[Upstream]:
        """The servers that a caller sees at this endpoint."""
        upstreams = self._servers.upstreams
        if call.route:
            return [upstreams[call.route]]
        return [u for n, u in upstreams.items() if self.sees(call.who, n)]

    def in_view(self, call: Call, server: str) -> bool:
        if call.route:
            return server == call.route
        return self.sees(call.who, server)

    def allows(self, who: Principal, server: str, kind: str, name: str) -> Verdict:
        """The policy's word, and the server's own list of tools that it may show."""
        settings = self._servers.upstreams[server].settings
        if kind == "tools" and not matches(name, settings.tools):
            return Verdict(False, f"upstreams.{server}.tools")
        if kind == "tools" and self._servers.fingerprints.is_blocked(server, name):
            return Verdict(False, "on_drift: its description changed and was not accepted")
        return self.authorization.decide(who, server, kind, name)

    def require(self, call: Call, server: str, kind: str, name: str) -> None:
        """Refusal unless the caller may use this."""
        if kind:
            verdict = self.allows(call.who, server, kind, name)
        else:
            verdict = Verdict(self.sees(call.who, server), f"policy for server {server}")
        noun = kind.removesuffix("s") or "server"
        _insist(call, server, f"{noun} {name or server}", verdict)

    def require_all(self, call: Call, server: str) -> None:
        """Refusal for a method that policy does not know, unless nothing is refused there."""
        allowed = self.authorization.sees_all(call.who, server)
        verdict = Verdict(allowed, f"policy, which allows parts of server {server}")
        _insist(call, server, f"method {call.method[:80]}", verdict)

    def locate_resource(self, call: Call, uri: str) -> tuple[str, str] | None:
        """(server, original URI) of a resource that the caller may use."""
        found = (call.route, uri) if call.route else self._servers.catalog.find_uri(uri)
        if found is None or found[0] not in self._servers.upstreams:
            return None
        return found if self.allows(call.who, found[0], "resources", found[1]).allowed else None


def _insist(call: Call, server: str, what: str, verdict: Verdict) -> None:
    call.rule = verdict.reason
    if not verdict.allowed:
        raise Refusal(
            "policy",
            200 if call.message is not None and call.message.is_request else 403,
            envelope.REFUSED,
            f"{what} is refused by {verdict.reason}",
            data={"server": server, "rule": verdict.reason},
        )
