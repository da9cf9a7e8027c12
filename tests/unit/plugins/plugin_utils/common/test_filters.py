# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters from pure functions: what a play shows of input that they cannot use."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded


def names(hosts: list[dict], prefix: str = "", more: dict | None = None) -> list[str]:
    return [prefix + host["name"] for host in hosts] + list(more or {})


NAMES = guarded({"host_names": names})["host_names"]


def test_a_filter_is_its_function():
    assert NAMES([{"name": "a"}], "x-", more={"b": 1}) == ["x-a", "b"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["hosts"], "host_names: found hosts of type str; expected a list"),
        ([None], "host_names: found hosts of type NoneType; expected a list"),
        ([[{"name": "a"}], 7], "host_names: found prefix of type int; expected a text"),
        ([[{}]], r"cannot use, KeyError \('name'\); expected hosts a list, prefix a text, more"),
        ([], "missing a required argument: 'hosts'"),
    ],
)
def test_input_of_another_kind_names_the_argument(given, words):
    with pytest.raises(AnsibleFilterError, match=words):
        NAMES(*given)


@pytest.mark.parametrize("error", [Unusable("a: b"), Refused("a", "b", "c")])
def test_errors_of_our_own_stay_as_they_are(error):
    def fails():
        raise error

    with pytest.raises(AnsibleFilterError) as raised:
        guarded({"fails": fails})["fails"]()
    assert str(error) in str(raised.value)


def test_a_value_that_cannot_be_read_is_not_shown():
    """It may be a secret."""
    with pytest.raises(AnsibleFilterError) as raised:
        guarded({"number": lambda value: int(value)})["number"]("s3cret")
    assert "s3cret" not in str(raised.value) and "ValueError" in str(raised.value)
