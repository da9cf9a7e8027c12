# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a real LiteLLM keeps of its use: sums for bills, and lines that it deletes in time."""

from __future__ import annotations

import datetime
import json
import os
import time

import pytest
import support
from conftest import LITELLM_CONFIG, LiteLLM, wait_until

pytestmark = pytest.mark.integration

PRICED = """
  - model_name: priced
    litellm_params: {model: openai/priced, api_key: none, mock_response: Hi there}
    model_info: {input_cost_per_token: 0.001, output_cost_per_token: 0.01}
general_settings:
  proxy_batch_write_at: 2
  maximum_spend_logs_retention_period: 90d
  maximum_daily_tag_spend_retention_period: 90d
  maximum_spend_logs_cleanup_cron: "* * * * *"
  maximum_spend_logs_cleanup_run_budget: 30m
  maximum_spend_logs_cleanup_max_batches: 5000
"""
SETTINGS = """
litellm_settings:
  disable_end_user_cost_tracking: true
"""
# In each of two tables. A large site gathers INTRANET_MCP_TEST_OLD_ROWS=200000, which take minutes.
OLD_ROWS = int(os.environ.get("INTRANET_MCP_TEST_OLD_ROWS", "20000"))


def rows(prefix, count, age):
    """Lines about requests of that age, and about the tools that models were given."""
    return f"""
INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime")
  SELECT '{prefix}-' || n, 'acompletion', now() - interval '{age}', now()
  FROM generate_series(1, {count}) n;
INSERT INTO "LiteLLM_SpendLogToolIndex" (request_id, tool_name, start_time)
  SELECT '{prefix}-' || n, 'tool-' || n % 7, now() - interval '{age}'
  FROM generate_series(1, {count}) n;
"""


@pytest.fixture(scope="module")
def used(docker, tmp_path_factory):
    """A LiteLLM as the role sets it up, with a model that has a price and answers at once."""
    config = LITELLM_CONFIG.replace("\ngeneral_settings:\n", PRICED) + SETTINGS
    return LiteLLM(docker, tmp_path_factory.mktemp("used"), config, name="used")


def today():
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def usage(litellm, run_module):
    """What the module tells of today, by key."""
    told = run_module(
        "litellm_usage_info",
        litellm_url=litellm.url,
        master_key=litellm.master_key,
        since=today(),
        until=today(),
    )
    assert not told["failed"], told
    return {row["key_alias"]: row for row in told["usage"]}


def made(litellm, path, **body):
    status, reply = litellm.ask(path, body)
    assert status == 200, reply
    return reply


def chat(litellm, key, **more):
    body = {"model": "priced", "messages": [{"role": "user", "content": "Hello"}], **more}
    status, reply = litellm.ask("/v1/chat/completions", body, key)
    assert status == 200, reply
    return reply["usage"]


def test_a_deleted_key_is_billed_to_the_team_and_person_it_was_of(used, run_module):
    made(used, "/team/new", team_id="payments", team_alias="payments")
    made(used, "/user/new", user_id="alice", auto_create_key=False)
    of_team = made(used, "/key/generate", key_alias="alice", team_id="payments", user_id="alice")[
        "key"
    ]
    alone = made(used, "/key/generate", key_alias="ci")["key"]
    asked = [chat(used, of_team) for _ in range(3)]
    chat(used, alone)
    made(used, "/key/delete", keys=[of_team])
    # LiteLLM writes the sums of people and those of teams one after the other.
    found = wait_until(
        lambda: (
            (told := usage(used, run_module)) and len(told) == 2 and told["alice"]["team"] and told
        ),
        90,
        "the sums of both keys",
    )
    tokens = {
        name: sum(use[f"{name}_tokens"] for use in asked) for name in ("prompt", "completion")
    }
    alice = found["alice"]
    assert (alice["team"], alice["user"], alice["requests"]) == ("payments", "alice", 3)
    assert alice["input_tokens"] == tokens["prompt"]
    assert alice["output_tokens"] == tokens["completion"]
    cost = tokens["prompt"] * 0.001 + tokens["completion"] * 0.01
    assert alice["cost"] == pytest.approx(cost)
    assert (found["ci"]["team"], found["ci"]["requests"]) == ("", 1)


def test_sessions_of_claude_code_leave_no_row_of_their_own(used, run_module):
    key = made(used, "/key/generate", key_alias="claude")["key"]
    session = {"metadata": {"user_id": json.dumps({"session_id": "5f0c"})}}
    body = {"model": "priced", "max_tokens": 9, **session}
    body["messages"] = [{"role": "user", "content": "Hello"}]
    status, reply = used.ask("/v1/messages", body, key)
    assert status == 200, reply
    wait_until(lambda: "claude" in usage(used, run_module), 90, "the key's sum")
    for table in ("LiteLLM_EndUserTable", "LiteLLM_DailyEndUserSpend"):
        assert used.sql(f'SELECT count(*) FROM "{table}"') == "0"


def test_old_lines_go_in_bounded_time_and_leave_requests_alone(used):
    used.sql(rows("old", OLD_ROWS, "100 days") + rows("new", 50, "80 days"))
    began = time.monotonic()
    key = made(used, "/key/generate", key_alias="meanwhile")["key"]
    slowest = 0.0

    def old_rows():
        nonlocal slowest
        at = time.monotonic()
        chat(used, key)
        slowest = max(slowest, time.monotonic() - at)
        tables = ("LiteLLM_SpendLogs", "LiteLLM_SpendLogToolIndex")
        query = (f"(SELECT count(*) FROM \"{t}\" WHERE request_id LIKE 'old-%')" for t in tables)
        return int(used.sql(f"SELECT {' + '.join(query)}"))

    # Up to a minute until it begins, then batches of a thousand.
    patience = 100 + OLD_ROWS / 500
    wait_until(lambda: old_rows() == 0, patience, f"{2 * OLD_ROWS} old rows to go")
    took = time.monotonic() - began
    print(f"{2 * OLD_ROWS} rows in {took:.0f} s, the slowest request took {slowest:.2f} s")
    assert slowest < 10
    for table in ("LiteLLM_SpendLogs", "LiteLLM_SpendLogToolIndex"):
        kept = used.sql(f"SELECT count(*) FROM \"{table}\" WHERE request_id LIKE 'new-%'")
        assert kept == "50"


def test_the_role_sets_what_is_tested_here():
    template = (support.REPOSITORY / "roles/litellm/templates/config.yaml.j2").read_text()
    for line in (PRICED + SETTINGS).splitlines():
        name = line.partition(":")[0].strip()
        if name.startswith(("maximum_", "disable_")):
            assert f"{name}:" in template
