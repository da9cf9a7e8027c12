# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""TOML settings are edited in place: neighbours, layout and comments stay."""

from __future__ import annotations

import tomllib

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.clients import settings_toml as edit

TEXT = '''# mine
model = "gpt"   # the old one
notes = """
[not.a.header]
= not a pair
"""

[mcp_servers.other]  # keep
command = "x"
args = [
  "a", # one ]
  "b",
]

[[profiles]]
name = "p"
'''


def test_a_value_is_replaced_where_it_stands():
    assert edit.put(TEXT, ("model",), '"new"') == TEXT.replace('"gpt"', '"new"')


def test_a_root_key_comes_before_the_first_table():
    text = edit.put(TEXT, ("model_provider",), '"litellm"')
    assert tomllib.loads(text)["model_provider"] == "litellm"
    assert text.index("model_provider") < text.index("[mcp_servers")


def test_a_root_key_comes_first_where_there_is_none():
    assert edit.put("[a]\nb = 1\n", ("c",), "2") == "c = 2\n[a]\nb = 1\n"


def test_a_pair_joins_the_table_that_is_there():
    text = edit.put(TEXT, ("mcp_servers", "other", "enabled"), "false")
    assert tomllib.loads(text)["mcp_servers"]["other"]["enabled"] is False
    assert text.count("[mcp_servers.other]") == 1


def test_a_new_table_stands_at_the_end():
    text = edit.put(edit.put(TEXT, ("a", "b", "c"), "1"), ("a", "b", "d"), "2")
    assert text == TEXT + "\n[a.b]\nc = 1\nd = 2\n"


def test_a_table_of_dotted_keys_gains_a_dotted_key():
    text = edit.put("analytics.other = 1\n[x]\n", ("analytics", "enabled"), "false")
    assert tomllib.loads(text) == {"analytics": {"other": 1, "enabled": False}, "x": {}}


def test_a_dotted_key_is_found_and_replaced():
    assert edit.put("a.b = 1\n", ("a", "b"), "2") == "a.b = 2\n"
    assert edit.get('"a"."b" = 1 # x\n', ("a", "b")) == "1"


def test_a_missing_newline_at_the_end_is_added():
    assert edit.put("a = 1", ("b",), "2") == "a = 1\nb = 2\n"


def test_removing_the_last_pair_removes_the_table():
    text = edit.put(TEXT, ("a", "c"), "1")
    assert edit.drop(text, ("a", "c")) == TEXT
    assert edit.drop(TEXT, ("no", "such")) == TEXT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = {b = 1}\n", "a is written on one line"),
        ("[[a]]\nx = 1\n", "is a list of tables"),
        ("[a.b.c]\nx = 1\n", "a.b is a table"),
        ("[a.b]\n", "a.b is a table"),
    ],
)
def test_what_stands_in_the_way_is_a_conflict(text, message):
    with pytest.raises(edit.Conflict) as caught:
        edit.put(text, ("a", "b"), "1")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["a = \n", "a 1\n", "[a\n", 'a = "x\n', "a = [1,\n"])
@pytest.mark.parametrize("has_reader", [True, False])
def test_what_is_broken_is_refused_with_and_without_a_reader(text, has_reader, monkeypatch):
    if not has_reader:
        monkeypatch.setattr(edit, "tomllib", None)
    with pytest.raises(edit.Broken, match="line 1"):
        edit.check(text)


def test_what_only_a_reader_can_tell_is_left_to_it():
    with pytest.raises(edit.Broken, match="line 1"):
        edit.check("a = 1 2\n")


def test_settings_become_values_of_toml():
    settings = {"a": 'x"y', "b": {"c": True, "d": ["é"]}}
    text = ""
    for path, value in edit.leaves(settings):
        text = edit.put(text, path, value)
    assert tomllib.loads(text) == settings
    assert list(edit.leaves_of(text)) == list(edit.leaves(settings))
