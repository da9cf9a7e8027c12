# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""JSON settings are edited in place: neighbours, layout and comments stay."""

from __future__ import annotations

import json
import random

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.clients import settings_json as edit

COMMENTED = """{
  // why this is off
  "theme": "dark", /* really */
  "mcpServers": {
    "mine": {"command": "x"}
  },
}
"""


def test_new_members_stand_where_their_object_ends():
    text = edit.put(COMMENTED, ("mcpServers", "gw"), {"type": "http"})
    assert text == COMMENTED.replace(
        '"mine": {"command": "x"}',
        '"mine": {"command": "x"},\n    "gw": {\n      "type": "http"\n    }',
    )


def test_a_value_is_replaced_where_it_stands():
    assert edit.put(COMMENTED, ("theme",), "light") == COMMENTED.replace("dark", "light")


def test_a_trailing_comma_is_not_doubled():
    text = edit.put(COMMENTED, ("model",), "m")
    assert edit.get(text, ("model",)) == "m"
    assert ",," not in text.replace("\n", "")
    assert "// why this is off" in text


def test_a_comment_at_the_end_stays_with_its_line():
    text = edit.put('{\n  "a": 1 // one\n}\n', ("b",), 2)
    assert text == '{\n  "a": 1, // one\n  "b": 2\n}\n'


def test_an_object_on_one_line_stays_on_it():
    assert edit.put('{"a": {"b": 1}}', ("a", "c"), [1]) == '{"a": {"b": 1, "c": [1]}}'


def test_an_empty_file_becomes_an_object():
    assert edit.put("", ("a", "b"), 1) == '{\n  "a": {\n    "b": 1\n  }\n}\n'
    assert edit.put("{}", ("a",), 1) == '{\n  "a": 1\n}'


@pytest.mark.parametrize(
    ("text", "path", "rest"),
    [
        ('{"a": 1, "b": 2}', ("a",), '{"b": 2}'),
        ('{"a": 1, "b": 2}', ("b",), '{"a": 1}'),
        ('{\n  "a": 1\n}', ("a",), "{}"),
        ('{\n  "a": 1,\n}', ("a",), "{}"),
        ('{"a": {"b": 1}}', ("a", "x"), '{"a": {"b": 1}}'),
        ('{"a": 1}', ("x", "y"), '{"a": 1}'),
    ],
)
def test_a_member_is_removed_with_its_comma(text, path, rest):
    assert edit.drop(text, path) == rest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1', "line 1: a comma or } is missing"),
        ('{\n"a" 1}', "line 2: a colon is missing"),
        ('{"a": }', "line 1: a value is missing"),
        ("{a: 1}", "line 1: a name in quotes is missing"),
        ('{"a": "x}', "line 1: a text is not closed"),
        ("{} {}", "line 1: something follows the end"),
        ("[1]", "holds a list"),
    ],
)
def test_what_is_broken_is_named_with_its_line(text, message):
    with pytest.raises(edit.Broken) as caught:
        edit.check(text)
    assert message in str(caught.value)


def test_a_setting_below_something_else_than_an_object_is_a_conflict():
    with pytest.raises(edit.Conflict, match="env is not an object"):
        edit.put('{"env": []}', ("env", "A"), "b")


def test_whole_objects_are_one_setting():
    settings = {"a": {"b": {"c": 1}}, "d": {}}
    assert list(edit.leaves(settings)) == [(("a", "b", "c"), 1), (("d",), {})]
    assert list(edit.leaves(settings, [("a", "b")])) == [(("a", "b"), {"c": 1}), (("d",), {})]
    assert list(edit.leaves_of(json.dumps(settings))) == list(edit.leaves(settings))


def put_in(structure, path, value):
    for key in path[:-1]:
        structure = structure.setdefault(key, {})
    structure[path[-1]] = value


@pytest.mark.parametrize("seed", range(40))
def test_edits_equal_the_same_edits_of_the_parsed_value(seed):
    rng = random.Random(seed)
    indent = rng.choice([None, 2, 4, "\t"])
    structure = {"x": {"y": {"z": 1}, "w": [1, {"k": "}"}]}, "e": {}, 'q\\"': 'a "b" // c'}
    text = json.dumps(structure, indent=indent)
    for _round in range(6):
        path = tuple(rng.choice("xyeab") for _depth in range(rng.randint(1, 3)))
        try:
            if rng.random() < 0.6:
                value = rng.choice([1, "t", None, {"n": {"m": []}}, [1, "b"]])
                text = edit.put(text, path, value)
                put_in(structure, path, value)
            elif edit.get(text, path) is not None:
                text = edit.drop(text, path)
                parent = structure
                for key in path[:-1]:
                    parent = parent[key]
                del parent[path[-1]]
        except edit.Conflict:
            continue
        assert json.loads(text) == structure
