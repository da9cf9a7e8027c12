# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `litellm_info` tells of a small LiteLLM."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MARK, MASTER, FakeLiteLLM


def test_info_tells_what_is_there_and_changes_nothing(run_module, service):
    litellm = FakeLiteLLM(service)
    litellm.models = [litellm.model("small", in_database=False)]
    litellm.teams = [litellm.team("payments")]
    litellm.users = [litellm.user("alice", teams=["payments"])]
    litellm.keys = [litellm.key(key_alias="by-hand", token="t", user_id="alice")]
    options = {"litellm_url": service.url, "master_key": MASTER}
    told = run_module("litellm_info", **options)
    assert not told["changed"] and told["version"] == "1.106.2"
    assert told["models"][0]["model_name"] == "small" and not told["models"][0]["in_database"]
    assert told["teams"][0]["metadata"] == MARK and told["teams"][0]["is_managed"]
    assert told["users"][0]["teams"] == ["payments"]
    assert told["keys"][0]["key_hash"] == "t" and not told["keys"][0]["is_managed"]
    few = run_module("litellm_info", gather=["users"], **options)
    assert set(few) & {"models", "teams", "keys"} == set()
    assert litellm.writes() == []
    wrong = run_module("litellm_info", **{**options, "master_key": "sk-wrong"})
    assert wrong["error"]["reason"] == "unauthorized"
