# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import Member
from ansible_collections.intranet.mcp.plugins.module_utils.examine import redis

SERVER = "# Server\r\nredis_version:8.0.2\r\nrdb_last_bgsave_status:ok\r\n"
PRIMARY = """role:master\r
connected_slaves:3\r
slave0:ip=192.0.2.2,port=6379,state=online,offset=1,lag=0\r
slave1:ip=192.0.2.3,port=6379,state=online,offset=1,lag=1\r
slave2:ip=192.0.2.4,port=6379,state=wait_bgsave,offset=0,lag=0\r
slave_repl_offset:7\r
"""
REPLICA = "role:slave\r\nmaster_host:192.0.2.1\r\nmaster_port:6379\r\nmaster_link_status:{}\r\n"


@pytest.mark.parametrize(
    ("said", "member"),
    [
        (PRIMARY, Member("primary", "", True, 2)),  # as ROLE counts them: those that are online
        ("role:master\r\nconnected_slaves:0\r\n", Member("primary", "", True, 0)),
        (REPLICA.format("up"), Member("replica", "192.0.2.1:6379", True, 0)),
        (REPLICA.format("down"), Member("replica", "192.0.2.1:6379", False, 0)),
    ],
)
def test_a_server_says_whom_it_follows_or_who_follows_it(said, member):
    found = redis.parse(SERVER + said)
    assert (found.member, found.error, found.has_saved) == (member, "", True)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (SERVER + "role:master\r\n", "passed", "answers"),
        (SERVER.replace("status:ok", "status:err"), "failed", "refuses writes"),
        ("WRONGPASS invalid username-password pair\n", "failed", "not serve: WRONGPASS invalid"),
        (SERVER + "loading:1\r\n", "failed", "not serve: it is loading"),
        ("", "failed", "no answer"),
    ],
)
def test_a_server_must_answer_and_save(said, status, words):
    judged = redis.judge("redis", redis.parse(said), "intranet-redis")
    assert (judged.status, words in judged.found) == (status, True)
