# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Redis's protocol and what members say of themselves."""

from __future__ import annotations

import io

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster import redis
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unexpected


def test_a_command_is_sent_with_its_lengths():
    assert redis.encode(("AUTH", "é")) == b"*2\r\n$4\r\nAUTH\r\n$2\r\n\xc3\xa9\r\n"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"+OK\r\n", "OK"),
        (b":7\r\n", 7),
        (b"$-1\r\n", None),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]]),
    ],
)
def test_answers_are_read(sent, expected):
    assert redis.decode(io.BytesIO(sent)) == expected


def test_an_error_is_told_from_text():
    answer = redis.decode(io.BytesIO(b"-NOAUTH Authentication required.\r\n"))
    assert isinstance(answer, redis.RedisError)


@pytest.mark.parametrize("sent", [b"", b"+O", b"HTTP/1.1 400\r\n"])
def test_what_is_no_answer_ends_the_reading(sent):
    with pytest.raises(EOFError):
        redis.decode(io.BytesIO(sent))


def test_roles_are_read():
    primary = redis.read_role(["master", 10, [["192.0.2.2", "6379", "10"]]])
    replica = redis.read_role(["slave", "192.0.2.1", 6379, "connect", -1])
    assert str(primary) == "primary of 1"
    assert str(replica) == "replica of 192.0.2.1:6379, not connected"


@pytest.mark.parametrize("answer", [None, [], ["sentinel", []], ["slave"], "OK"])
def test_another_role_is_not_guessed(answer):
    with pytest.raises(Unexpected):
        redis.read_role(answer)


def test_a_view_without_its_fields_is_none():
    with pytest.raises(Unexpected):
        redis.read_view(["ip", "192.0.2.1"])
