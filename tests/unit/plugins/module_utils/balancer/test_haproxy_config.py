# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_config import render
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import login

SETTINGS = {
    "tls": True,
    "public_port": 443,
    "ports": {"public": 8443, "redirect": 8080, "inside": 8000, "metrics": 8404},
    "timeout_seconds": 600,
    "connect_seconds": 2,
    "check_seconds": 2,
    "max_connections": 4000,
}


def server(name, address, is_name=False):
    return {"name": name, "address": address, "is_name": is_name}


LITELLM = {
    "service": "litellm",
    "ready": "/health/readiness",
    "alive": "/health/liveliness",
    "servers": [server("app1", "192.0.2.1:4000"), server("app2", "192.0.2.2:4000")],
}
GATEWAY = {
    "service": "gateway",
    "ready": "/ready",
    "alive": "/health",
    "servers": [server("app1", "192.0.2.1:8080"), server("lb", "intranet-gateway:8080", True)],
}

PORTAL = {
    "service": "portal",
    "ready": "/health",
    "alive": "/health",
    "servers": [server("app1", "192.0.2.1:8090")],
}


def sections(pools=(GATEWAY, LITELLM), **changes):
    """Return the rendered sections: title -> lines."""
    found, title = {}, ""
    for line in render(list(pools), {**SETTINGS, **changes}).splitlines():
        if line.startswith("    "):
            found[title].append(line.strip())
        elif line and not line.startswith("#"):
            title = line
            found[title] = []
    return found


def test_every_replica_is_a_server_with_the_check_of_its_service():
    found = sections()
    assert "server app1 192.0.2.1:4000" in found["backend litellm"]
    assert "server app2 192.0.2.2:4000" in found["backend litellm"]
    assert any("uri /health/readiness" in line for line in found["backend litellm"])
    assert any("uri /ready" in line for line in found["backend gateway"])


def test_where_no_replica_is_ready_those_alive_serve_on():
    found = sections()
    assert any("uri /health/liveliness" in line for line in found["backend litellm_alive"])
    assert any("uri /health " in line for line in found["backend gateway_alive"])
    assert "server app2 192.0.2.2:4000" in found["backend litellm_alive"]


def test_a_request_is_repeated_only_when_nothing_of_it_was_sent():
    lines = sections()["defaults"]
    assert "retry-on conn-failure" in lines
    assert "option redispatch 1" in lines


def test_one_timeout_holds_from_end_to_end():
    lines = sections(timeout_seconds=77)["defaults"]
    assert {f"timeout {side} 77s" for side in ("client", "server", "tunnel")} <= set(lines)


@pytest.mark.parametrize("frontend", ["frontend public", "frontend inside"])
def test_mcp_goes_to_the_gateway_and_the_rest_to_litellm(frontend):
    lines = sections()[frontend]
    assert lines[-4:] == [
        "use_backend gateway_alive if is_mcp no_gateway",
        "use_backend gateway if is_mcp",
        "use_backend litellm_alive if no_litellm",
        "default_backend litellm",
    ]
    exact = next(line for line in lines if line.startswith("acl is_mcp path "))
    begins = next(line for line in lines if line.startswith("acl is_mcp path_beg "))
    assert exact.split()[3:] == ["/", "/mcp", "/sse", "/messages"]
    assert "/servers/" in begins.split()
    assert not [path for path in begins.split() if path in ("/", "/v1", "/v1/")]


def test_metrics_of_services_are_not_shown_to_people():
    (line,) = [line for line in sections()["frontend public"] if "deny_status 404" in line]
    assert "{ path /metrics } || { path_beg /metrics/ }" in line


def test_what_is_not_open_to_people_is_refused_at_their_frontend_only():
    found = sections()
    (line,) = [line for line in found["frontend public"] if "status 403" in line]
    assert line.endswith("if !is_model !is_health !is_mcp")
    assert not [line for line in found["frontend inside"] if "403" in line or "deny" in line]


def test_operators_have_every_path_from_their_networks():
    lines = sections(operators=["192.0.2.0/24", "2001:db8::/32"])["frontend public"]
    assert "acl is_operator src 192.0.2.0/24 2001:db8::/32" in lines
    (line,) = [line for line in lines if "status 403" in line]
    assert "!is_operator" in line.split()


def test_lines_have_no_more_words_than_haproxy_reads():
    paths = [f"/v1/own{number}" for number in range(99)]
    assert max(len(line.split()) for line in sections(paths=paths)["frontend public"]) < 64


def test_browsers_are_told_to_stay_with_tls_where_there_is_tls():
    said = 'http-after-response set-header Strict-Transport-Security "max-age=60"'
    assert said in sections(hsts_seconds=60)["frontend public"]
    for settings in ({"hsts_seconds": 0}, {"hsts_seconds": 60, "tls": False}):
        assert "Strict-Transport-Security" not in str(sections(**settings)["frontend public"])


def test_keys_in_queries_and_headers_are_not_logged():
    (line,) = [line for line in sections()["defaults"] if line.startswith("log-format")]
    assert "%HPO" in line
    assert not re.search(r"%(HU|HQ|r|hr|hrl)\b|%\[|req\.hdr", line)


def test_claims_of_clients_about_themselves_are_dropped():
    lines = sections()["frontend public"]
    drop = lines.index("http-request del-header X-Forwarded-For")
    assert drop < lines.index("option forwardfor")


@pytest.mark.parametrize(("port", "expected"), [(443, ""), (8443, ":8443")])
def test_plain_requests_are_sent_to_the_frontend_with_tls(port, expected):
    lines = sections(public_port=port)["frontend redirect"]
    (line,) = [line for line in lines if "redirect location" in line]
    assert f"regsub(:[0-9]+$,)]{expected}%[capture.req.uri] code 308" in line


def test_without_tls_there_is_one_plain_frontend():
    found = sections(tls=False)
    assert "frontend redirect" not in found
    assert "bind :8443" in found["frontend public"]
    assert "http-request set-header X-Forwarded-Proto http" in found["frontend public"]


def test_a_container_on_the_same_host_is_looked_up_by_name():
    found = sections()
    assert "nameserver engine 127.0.0.11:53" in found["resolvers engine"]
    (line,) = [line for line in found["backend gateway"] if "intranet-gateway" in line]
    assert "resolvers engine" in line


def test_without_a_container_beside_it_nothing_is_looked_up():
    assert not [title for title in sections([LITELLM]) if title.startswith("resolvers")]


def test_without_a_gateway_everything_goes_to_litellm():
    found = sections([LITELLM])
    assert "backend gateway" not in found
    assert not [line for line in found["frontend public"] if "gateway" in line]


def test_an_acme_server_is_answered_over_plain_http_only_where_there_is_an_account():
    pools = [{"service": "litellm", "ready": "/r", "alive": "/a", "servers": []}]
    settings = {
        "tls": True,
        "public_port": 443,
        "ports": {"public": 1, "redirect": 2, "inside": 3, "metrics": 4},
        "timeout_seconds": 1,
        "connect_seconds": 1,
        "check_seconds": 1,
        "max_connections": 1,
    }
    assert "acme-challenge" not in render(pools, settings)
    text = render(pools, {**settings, "acme_thumbprint": "Th-um_b"})
    line = next(line for line in text.splitlines() if "acme-challenge" in line)
    assert '%[path,field(4,/)].Th-um_b"' in line
    assert text.index("frontend redirect") < text.index(line) < text.index("code 308")


def page(service, has_login=False, **changes):
    found = {"service": service, "path": f"/{service}", "has_login": has_login}
    found |= {"health": "/-/healthy", "hidden": ["/metrics"], "address": "192.0.2.9:9090"}
    return {**found, "is_name": False, **changes}


def with_pages(*served, **changes):
    pages = {"served": list(served), "login": login("x" * 40)}
    return sections(pages=pages, ports={**SETTINGS["ports"], "pages": 9443}, **changes)


def test_pages_have_a_port_of_their_own_with_tls_and_a_login():
    found = with_pages(page("prometheus"))
    lines = found["frontend pages"]
    assert "bind :9443 ssl crt /secrets/tls.pem alpn h2,http/1.1" in lines
    asks = lines.index("http-request auth realm monitoring unless is_user has_password")
    assert asks < lines.index("use_backend page_prometheus if is_prometheus")
    assert f"sha2(256),hex,lower -m str {login('x' * 40)['sha256']}" in " ".join(lines)
    assert "server page 192.0.2.9:9090" in found["backend page_prometheus"]


def test_who_guesses_is_sent_away_before_the_password_is_looked_at():
    lines = with_pages(page("prometheus"))["frontend pages"]
    bound = "http-request deny deny_status 429 if { sc_http_err_rate(0) gt 60 }"
    assert lines.index(bound) < next(i for i, line in enumerate(lines) if "auth" in line)


def test_a_page_with_a_login_of_its_own_is_asked_for_none_and_shows_no_numbers():
    lines = with_pages(page("prometheus"), page("grafana", True))["frontend pages"]
    assert "acl has_own_login path /grafana" in lines
    assert "acl has_own_login path_beg /grafana/" in lines
    assert "acl is_hidden path /grafana/metrics" in lines
    assert "http-request deny deny_status 404 if is_hidden" in lines
    assert "http-request del-header Authorization unless has_own_login" in lines


def test_what_pages_are_asked_holds_no_password_and_claims_of_clients_are_dropped():
    lines = with_pages(page("prometheus"))["frontend pages"]
    assert "http-request del-header Authorization" in lines
    assert "http-request del-header X-Forwarded-For" in lines
    assert any("deny_status 400" in line for line in lines)


def test_a_page_beside_the_balancer_is_looked_up_by_name():
    found = with_pages(page("prometheus", is_name=True, address="i-prometheus:9090"))
    assert "resolvers engine" in found
    assert any("resolvers engine" in line for line in found["backend page_prometheus"])


def test_without_pages_nothing_of_them_is_there():
    assert not [title for title in with_pages() if "page" in title]
    assert sections() == with_pages()


def test_the_page_for_people_is_open_to_them_and_nobodys_health():
    found = sections((GATEWAY, LITELLM, PORTAL))
    public = found["frontend public"]
    assert "acl is_portal path /portal" in public and "acl is_portal path_beg /portal/" in public
    assert "use_backend portal if is_portal" in public
    (refusal,) = [line for line in public if "status 403" in line]
    assert "!is_portal" in refusal
    assert not any("if is_health" in line and "portal" in line for line in public)
    assert "server app1 192.0.2.1:8090" in found["backend portal"]
    assert not any("portal" in line for lines in sections().values() for line in lines)
    found = sections((GATEWAY, LITELLM, PORTAL), has_registration=True)
    for name in ("public", "inside"):
        lines = found[f"frontend {name}"]
        assert "acl is_portal path /.well-known/oauth-authorization-server/portal" in lines
