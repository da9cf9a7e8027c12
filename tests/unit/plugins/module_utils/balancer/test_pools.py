# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the configurations of all engines have in common."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    HEALTH_PATHS,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import (
    pools_by_service,
    server_name,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from platforms import SPREAD, catalog

GATEWAY = {"service": "gateway", "ready": "/ready", "alive": "/health", "servers": []}


def test_a_balancer_with_nothing_behind_it_says_which_group_is_empty():
    with pytest.raises(Unusable, match="group litellm"):
        pools_by_service([GATEWAY])


def test_names_that_engines_do_not_take_are_changed():
    assert server_name("app 1/x") == "app_1_x"
    assert server_name("app-1.example.internal") == "app-1.example.internal"


def test_the_balancer_answers_where_the_catalog_says_that_its_health_is_asked():
    assert catalog(SPREAD)["load_balancer"]["health"] in HEALTH_PATHS
