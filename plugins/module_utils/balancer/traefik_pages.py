# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Traefik's routes to the monitoring's pages. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import REFUSED_PATH
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import REALM, hidden
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_parts import (
    below,
    router,
)

# Requests of one address a second: a page with all its parts at once, and no guessing.
PER_SECOND, AT_ONCE = 20, 100


def configuration(settings: dict, common: list[str]) -> dict[str, dict]:
    """Routers, middlewares and services of the pages; none where there is no page.

    common: middlewares that hold for every entry point of people.
    """
    pages = settings.get("pages", {})
    served = pages.get("served", [])
    if not served:
        return {"routers": {}, "middlewares": {}, "services": {}}
    return {
        "routers": {
            name: {**route, "tls": {}, "middlewares": [*common, "bounded", *route["middlewares"]]}
            for name, route in _routers(served).items()
        },
        "middlewares": {
            "bounded": {"rateLimit": {"average": PER_SECOND, "burst": AT_ONCE, "period": "1s"}},
            # The page itself asks for none, and would take it for one of its own.
            "login": {
                "basicAuth": {
                    "users": [pages["login"]["htpasswd"]],
                    "realm": REALM,
                    "removeHeader": True,
                }
            },
            **{_name(page): {"stripPrefix": {"prefixes": [page["path"]]}} for page in served},
        },
        "services": {
            _name(page): {"loadBalancer": {"servers": [{"url": f"http://{page['address']}"}]}}
            for page in served
        },
    }


def _routers(served: list[dict]) -> dict[str, dict]:
    first = _name(served[0])  # of what nobody gets
    routers = {
        "pages_other": router("pages", "PathPrefix(`/`)", first, ["login", "hidden"], 1),
        "pages_not_normal": router(
            "pages", f"PathRegexp(`{REFUSED_PATH}`)", first, ["not_normal"], 5
        ),
    }
    for page in served:
        name = _name(page)
        login = [] if page["has_login"] else ["login"]
        routers[name] = router("pages", below(page["path"]), name, [*login, name], 2)
        if never := hidden(page):
            rule = " || ".join(map(below, never))
            routers[f"{name}_hidden"] = router("pages", rule, name, ["hidden"], 3)
    return routers


def _name(page: dict) -> str:
    return f"page_{page['service']}"
