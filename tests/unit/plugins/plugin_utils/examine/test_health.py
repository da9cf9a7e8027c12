# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.health import health_probes


def test_each_service_that_tells_whether_it_is_alive_is_asked():
    (probe,) = health_probes({"wiki": "http://127.0.0.1:8120/up"}, "p-")
    assert probe["name"] == "wiki is alive"
    assert probe["options"] == {"url": "http://127.0.0.1:8120/up", "service": "p-wiki"}
    assert health_probes({}, "p-") == []
