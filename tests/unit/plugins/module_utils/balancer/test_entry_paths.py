# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which paths may be read as others; integration tests show what each engine does with them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    AUTHORIZATION_PATHS,
    GATEWAY_PATHS,
    MODEL_PATHS,
    PORTAL_PATHS,
    REFUSED_PATH,
    model_paths,
    operator_networks,
    portal_paths,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable


@pytest.mark.parametrize(
    "path",
    [
        "/%6dcp",
        "/mcp%0A",
        "/mcp/%00",
        "/v1/models/%7f",
        "/v1/%2e%2E/key/generate",
        "/v1/../key/generate",
        "/v1/models/.",
        "/v1/models%2F..%2f..%2Fkey/generate",
        "//mcp",
        "/v1//models",
        "/mcp%",
        "/mcp%2",
        "/mcp%zz",
        "/mcp\\x",
        "/mcp%5cx",
        "/mcp\n",
        "/mcp\x7f",
        "/mcp x",
        "/caf\u00e9",
    ],
)
def test_a_path_that_could_be_read_as_another_is_refused(path):
    assert re.search(REFUSED_PATH, path)


@pytest.mark.parametrize(
    "path",
    [
        *MODEL_PATHS,
        *[path for _match, paths in GATEWAY_PATHS for path in paths.split()],
        "/v1/models/org%2Fname",
        "/v1/models/smollm2:135m",
        "/v1beta/models/smollm2%3A135m:generateContent",
        "/servers/my-server_1.x/mcp",
        "/v1/models/..hidden",
        "/v1/models/%C3%A9",
        "/v1/models/100%25",
    ],
)
def test_what_clients_send_is_not_refused(path):
    assert not re.search(REFUSED_PATH, path)


@pytest.mark.parametrize(
    "path",
    [
        "/key/generate",
        "/key/list",
        "/team/new",
        "/user/new",
        "/model/info",
        "/config/yaml",
        "/ui",
        "/routes",
        "/v1/mcp/server",
        "/v1/model/info",
        "/openapi.json",
        "/modelsx",
    ],
)
def test_what_operators_do_is_not_open_to_people(path):
    assert not [open_ for open_ in MODEL_PATHS if f"{path}/".startswith(f"{open_}/")]


def test_a_site_may_open_more():
    assert model_paths({"paths": ["/v1/ocr"]}) == [*MODEL_PATHS, "/v1/ocr"]


@pytest.mark.parametrize("path", ["", "/", "v1/ocr", "/v1/ocr/", "/a b", "/a`b", "/a'b", "/../a"])
def test_what_is_no_path_is_not_opened(path):
    with pytest.raises(Unusable, match="load_balancer_paths"):
        model_paths({"paths": [path]})


def test_networks_are_read_strictly():
    assert operator_networks({"operators": ["192.0.2.7", "2001:db8::/32"]}) == [
        "192.0.2.7/32",
        "2001:db8::/32",
    ]
    with pytest.raises(Unusable, match=r"10\.0\.0\.1/8.*platform_operators_networks"):
        operator_networks({"operators": ["10.0.0.1/8"]})


def test_what_the_portal_publishes_as_an_authorization_server_is_open_where_it_is_one():
    assert portal_paths({}) == portal_paths({"has_registration": False}) == PORTAL_PATHS
    assert portal_paths({"has_registration": True}) == (*PORTAL_PATHS, *AUTHORIZATION_PATHS)
    assert all(path.endswith("/portal") for _match, path in AUTHORIZATION_PATHS)
