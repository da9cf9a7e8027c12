# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import login
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_config import (
    GENERATION,
    parse,
    render,
    replicas_of,
    served,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

SETTINGS = {
    "tls": True,
    "public_port": 443,
    "ports": {"public": 8443, "redirect": 8080, "inside": 8000, "metrics": 8404},
    "timeout_seconds": 600,
    "connect_seconds": 2,
    "check_seconds": 3,
    "max_connections": 4000,
    "stop_seconds": 30,
}


def server(name, address):
    return {"name": name, "address": address, "is_name": False}


LITELLM = {
    "service": "litellm",
    "ready": "/health/readiness",
    "alive": "/health/liveliness",
    "servers": [server("app1", "192.0.2.1:4000"), server("app 2", "192.0.2.2:4000")],
}
GATEWAY = {
    "service": "gateway",
    "ready": "/ready",
    "alive": "/health",
    "servers": [server("app1", "[fd00::1]:8080"), server("lb", "intranet-gateway:8080")],
}

PORTAL = {
    "service": "portal",
    "ready": "/health",
    "alive": "/health",
    "servers": [server("app1", "192.0.2.1:8090")],
}


def files(pools=(GATEWAY, LITELLM), **changes):
    """Return both files, static and dynamic."""
    found = render(list(pools), {**SETTINGS, **changes})
    return parse(found["traefik.yml"]), parse(found["dynamic.yml"])


def dynamic(**changes):
    return files(**changes)[1]


def listed(configuration, service):
    return [s["name"] for s in configuration["http"]["services"][service]["weighted"]["services"]]


def test_every_replica_is_listed_with_the_check_of_its_service():
    services = dynamic()["http"]["services"]
    assert listed(dynamic(), "litellm_ready") == ["litellm.app1", "litellm.app_2"]
    replica = services["litellm.app1"]["loadBalancer"]
    assert replica["servers"] == [{"url": "http://192.0.2.1:4000"}]
    assert replica["healthCheck"]["path"] == "/health/readiness"
    assert (replica["healthCheck"]["interval"], replica["healthCheck"]["timeout"]) == ("3s", "5s")
    assert services["gateway.app1"]["loadBalancer"]["servers"] == [{"url": "http://[fd00::1]:8080"}]


def test_where_no_replica_is_ready_those_alive_serve_on():
    services = dynamic()["http"]["services"]
    assert services["litellm"] == {
        "failover": {"service": "litellm_ready", "fallback": "litellm_alive"}
    }
    alive = services["litellm_alive.app1"]["loadBalancer"]["healthCheck"]
    assert alive["path"] == "/health/liveliness"


def test_each_list_follows_the_state_of_what_it_lists():
    for name, service in dynamic()["http"]["services"].items():
        if "weighted" in service:
            assert service["weighted"]["healthCheck"] == {}, name


def test_a_connection_carries_one_request_and_bytes_are_never_sent_again():
    http = dynamic()["http"]
    assert http["serversTransports"]["replicas"]["maxIdleConnsPerHost"] == -1
    again = http["middlewares"]["again"]["retry"]
    assert set(again) == {"attempts", "timeout"}, "no status is tried again"


def test_one_timeout_holds_from_end_to_end_and_streams_have_no_end():
    static, dynamic = files(timeout_seconds=77)
    timeouts = static["entryPoints"]["public"]["transport"]["respondingTimeouts"]
    assert (timeouts["readTimeout"], timeouts["writeTimeout"]) == ("77s", "0s")
    replicas = dynamic["http"]["serversTransports"]["replicas"]["forwardingTimeouts"]
    assert replicas == {"dialTimeout": "2s", "responseHeaderTimeout": "77s"}


@pytest.mark.parametrize("entry", ["public", "inside"])
def test_mcp_goes_to_the_gateway_and_the_rest_to_litellm(entry):
    routers = dynamic()["http"]["routers"]
    gateway, litellm = routers[f"{entry}_gateway"], routers[f"{entry}_litellm"]
    assert gateway["entryPoints"] == litellm["entryPoints"] == [entry]
    assert "Path(`/mcp`)" in gateway["rule"]
    assert "PathPrefix(`/servers/`)" in gateway["rule"]
    assert "PathPrefix(`/`)" not in gateway["rule"]
    assert routers[f"{entry}_health"]["priority"] > gateway["priority"]
    last = routers["public_operators" if entry == "public" else "inside_litellm"]
    assert (last["rule"], last["priority"]) == ("PathPrefix(`/`)", 1)


def test_metrics_of_services_are_not_shown_to_people():
    routers = dynamic()["http"]["routers"]
    hidden = routers["public_hidden"]
    assert hidden["rule"] == "Path(`/metrics`) || PathPrefix(`/metrics/`)"
    assert hidden["middlewares"] == ["hidden"]
    others = [router for name, router in routers.items() if name.startswith("public_")]
    assert [r for r in others if r["priority"] > hidden["priority"]] == [
        routers["public_not_normal"]
    ]
    assert "inside_hidden" not in routers


def test_what_is_not_open_to_people_is_for_networks_of_operators():
    for operators, expected in ((["192.0.2.0/24"],) * 2, ([], ["255.255.255.255/32"])):
        http = dynamic(operators=operators)["http"]
        assert http["routers"]["public_operators"]["middlewares"] == ["operators", "again"]
        assert http["middlewares"]["operators"]["ipAllowList"]["sourceRange"] == expected


def test_browsers_are_told_to_stay_with_tls_where_there_is_tls():
    http = dynamic(hsts_seconds=60)["http"]
    assert http["middlewares"]["hsts"] == {"headers": {"stsSeconds": 60}}
    for name, router in http["routers"].items():
        assert ("hsts" in router["middlewares"]) == name.startswith("public_"), name
    assert "hsts" not in dynamic(hsts_seconds=60, tls=False)["http"]["middlewares"]


def test_only_the_metrics_port_tells_of_traefik():
    static, dynamic = files()
    assert "api" not in static
    own = {
        name: router["entryPoints"]
        for name, router in dynamic["http"]["routers"].items()
        if "@internal" in router["service"]
    }
    assert own == {"alive": ["metrics"], "metrics": ["metrics"], "redirect": ["redirect"]}


def test_nobody_outside_is_asked_or_told():
    static, _dynamic = files()
    assert static["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}


def test_paths_with_keys_in_queries_and_headers_are_not_logged():
    fields = files()[0]["accessLog"]["fields"]
    assert fields["defaultMode"] == fields["headers"]["defaultMode"] == "drop"
    assert not [name for name in fields["names"] if "Path" in name or "Line" in name]


def test_the_entry_point_speaks_tls_and_plain_requests_are_sent_there():
    static, dynamic = files(public_port=8443)
    assert dynamic["http"]["routers"]["public_litellm"]["tls"] == {}
    assert "tls" not in dynamic["http"]["routers"]["inside_litellm"]
    assert dynamic["tls"]["options"]["default"]["minVersion"] == "VersionTLS12"
    assert static["entryPoints"]["redirect"]["address"] == ":8080"
    redirect = dynamic["http"]["middlewares"]["to_tls"]["redirectScheme"]
    assert (redirect["port"], redirect["forcePermanentRedirect"]) == ("8443", True)


def test_without_tls_there_is_one_plain_entry_point():
    static, dynamic = files(tls=False)
    assert "redirect" not in static["entryPoints"]
    assert "redirect" not in dynamic["http"]["routers"]
    assert "tls" not in dynamic
    assert "tls" not in dynamic["http"]["routers"]["public_litellm"]


def test_without_a_gateway_everything_goes_to_litellm():
    routers = dynamic(pools=[LITELLM])["http"]["routers"]
    assert "public_gateway" not in routers
    assert routers["public_health"]["service"] == "litellm"


def test_a_balancer_with_nothing_behind_it_says_which_group_is_empty():
    with pytest.raises(Unusable, match="group litellm"):
        render([GATEWAY], SETTINGS)


def test_replicas_are_told_by_name_and_by_what_is_checked():
    assert replicas_of(dynamic(), "gateway") == {
        "app1": {"url": "http://[fd00::1]:8080", "ready": "/ready"},
        "lb": {"url": "http://intranet-gateway:8080", "ready": "/ready"},
    }
    assert replicas_of(dynamic(), "postgres") == {}


def test_a_drained_replica_is_not_listed_and_nothing_else_changes():
    before = dynamic()
    after = served(before, {"litellm": ["app1"]}, "7")
    assert listed(after, "litellm_ready") == ["litellm.app_2"]
    assert listed(after, "litellm_alive") == ["litellm_alive.app1", "litellm_alive.app_2"]
    assert listed(after, "gateway_ready") == listed(before, "gateway_ready")
    assert after["http"]["routers"] == before["http"]["routers"]
    headers = after["http"]["middlewares"]["generation"]["headers"]["customResponseHeaders"]
    assert headers == {GENERATION: "7"}
    assert listed(before, "litellm_ready") == ["litellm.app1", "litellm.app_2"]


def test_where_all_are_drained_those_alive_serve_on():
    services = served(dynamic(), {"gateway": ["app1", "lb"]}, "7")["http"]["services"]
    assert services["gateway"]["failover"]["service"] == "gateway_alive"
    assert "gateway_ready" not in services


def page(service, has_login=False):
    found = {"service": service, "path": f"/{service}", "has_login": has_login}
    found |= {"health": "/-/healthy", "hidden": ["/metrics"], "address": "192.0.2.9:9090"}
    return {**found, "is_name": False}


def with_pages(*served):
    pages = {"served": list(served), "login": login("x" * 40)}
    return files(pages=pages, ports={**SETTINGS["ports"], "pages": 9443}, hsts_seconds=60)


def of_pages(routers):
    return {name: found for name, found in routers.items() if found["entryPoints"] == ["pages"]}


def test_pages_have_a_port_of_their_own_with_tls_and_a_login():
    static, found = with_pages(page("prometheus"), page("grafana", True))
    assert static["entryPoints"]["pages"]["address"] == ":9443"
    routers = of_pages(found["http"]["routers"])
    assert {name for name, route in routers.items() if "login" not in route["middlewares"]} == {
        "page_grafana",
        "page_grafana_hidden",
        "pages_not_normal",
    }
    for route in routers.values():
        assert route["tls"] == {} and route["middlewares"][:2] == ["hsts", "bounded"]
    asked = found["http"]["middlewares"]["login"]["basicAuth"]
    assert asked["users"] == [login("x" * 40)["htpasswd"]] and asked["removeHeader"]


def test_a_page_is_served_below_its_path_and_what_is_below_no_page_is_not():
    routers = of_pages(with_pages(page("prometheus"))[1]["http"]["routers"])
    assert routers["page_prometheus"]["rule"] == "Path(`/prometheus`) || PathPrefix(`/prometheus/`)"
    assert routers["page_prometheus"]["middlewares"][-1] == "page_prometheus"
    assert routers["pages_other"]["middlewares"][-2:] == ["login", "hidden"]


def test_a_page_with_a_login_of_its_own_shows_no_numbers():
    routers = of_pages(with_pages(page("grafana", True))[1]["http"]["routers"])
    hidden, shown = routers["page_grafana_hidden"], routers["page_grafana"]
    assert "`/grafana/metrics`" in hidden["rule"] and hidden["middlewares"][-1] == "hidden"
    assert hidden["priority"] > shown["priority"]


def test_without_pages_nothing_of_them_is_there():
    assert "page" not in str(dynamic())


def test_the_page_for_people_is_open_to_them():
    routers = dynamic(pools=(GATEWAY, LITELLM, PORTAL))["http"]["routers"]
    assert routers["public_portal"]["rule"] == "Path(`/portal`) || PathPrefix(`/portal/`)"
    assert routers["public_portal"]["service"] == "portal"
    assert "inside_portal" in routers
    assert not any("portal" in name for name in dynamic()["http"]["routers"])
    found = dynamic(pools=(GATEWAY, LITELLM, PORTAL), has_registration=True)["http"]["routers"]
    assert "`/.well-known/oauth-authorization-server/portal`" in found["public_portal"]["rule"]
