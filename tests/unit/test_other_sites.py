# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which site is asked for a model (the callback other_sites of the litellm role)."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import types
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "roles/litellm/files/other_sites.py"
HERE = [{"model_info": {"id": f"gpu{n}"}, "litellm_params": {"order": 1}} for n in (1, 2)]
NORTH = [{"model_info": {"id": "n", "site": "north"}, "litellm_params": {"order": 2}}]


def lowest_order(deployments, target_order=None):
    """LiteLLM's, of deployments that all have an order."""
    orders = {one["litellm_params"]["order"] for one in deployments}
    wanted = target_order or min(orders, default=None)
    return [one for one in deployments if one["litellm_params"]["order"] == wanted]


def is_without_fallbacks(request):
    """LiteLLM's: where the router notes it, or as it came."""
    noted = (request.get("metadata") or {}).get("_disable_fallbacks")
    return True in (request.get("disable_fallbacks"), noted)


@pytest.fixture(scope="module")
def sites():
    """The callback as a module. LiteLLM is not installed here; these stand in for it."""
    stand_ins = {
        "integrations.custom_logger": {"CustomLogger": object},
        "router_utils.fallback_event_handlers": {
            "fallbacks_disabled_for_request": is_without_fallbacks
        },
        "utils": {"get_order_filtered_deployments": lowest_order},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("litellm", "litellm.integrations", "litellm.router_utils"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        for name, holds in stand_ins.items():
            patch.setitem(sys.modules, f"litellm.{name}", types.SimpleNamespace(**holds))
        spec = importlib.util.spec_from_file_location("other_sites", SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def choose(sites):
    """Return the ids of the deployments that a request may go to."""

    def choose(healthy, request=None):
        found = asyncio.run(sites.handler.async_filter_deployments("m", healthy, None, request))
        return [one["model_info"]["id"] for one in found]

    return choose


def test_this_site_answers_as_long_as_one_of_its_servers_does(choose):
    assert choose(HERE + NORTH) == ["gpu1", "gpu2"]
    assert choose(HERE[1:] + NORTH, {"metadata": None}) == ["gpu2"]


def test_another_site_is_asked_once_none_is_left(choose):
    assert choose(NORTH) == ["n"]


def test_another_site_is_asked_where_litellm_has_got_to_it(choose):
    """It gives up on this site's after some retries, and names the next order."""
    assert choose(HERE + NORTH, {"_target_order": 2}) == ["n"]


@pytest.mark.parametrize(
    "request_",
    [{"disable_fallbacks": True}, {"metadata": {"_disable_fallbacks": True}}],
    ids=["as it came", "noted by the router"],
)
def test_what_came_from_another_site_stays_here_whatever_is_left(choose, request_):
    assert choose(HERE + NORTH, request_) == ["gpu1", "gpu2"]
    assert choose(NORTH, request_) == []
    assert choose(HERE + NORTH, {**request_, "_target_order": 2}) == ["gpu1", "gpu2"]


@pytest.mark.parametrize("given", [None, {"disable_fallbacks": False, "top_k": 1}, ["top_k"]])
def test_what_goes_to_another_site_says_so_whatever_its_caller_put_there(sites, given):
    """LiteLLM takes the caller's parameters in the place of the deployment's."""
    request = {"model_info": NORTH[0]["model_info"], "extra_body": given, "model": "m"}
    request["additional_drop_params"] = ["thinking", "extra_body", "disable_fallbacks"]
    sent = asyncio.run(sites.handler.async_pre_call_deployment_hook(request, None))
    assert sent["extra_body"].pop("disable_fallbacks") is True and sent["model"] == "m"
    assert sent["extra_body"] == ({"top_k": 1} if isinstance(given, dict) else {})
    assert sent["additional_drop_params"] == ["thinking"]
    del request["additional_drop_params"]
    sent = asyncio.run(sites.handler.async_pre_call_deployment_hook(request, None))
    assert sent["additional_drop_params"] == []


@pytest.mark.parametrize("known", [{}, {"model_info": None}, {"model_info": {"id": "gpu1"}}])
def test_what_stays_here_is_sent_as_it_is(sites, known):
    request = {**known, "extra_body": {"disable_fallbacks": False}}
    assert asyncio.run(sites.handler.async_pre_call_deployment_hook(request, None)) is None
