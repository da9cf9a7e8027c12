# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters are thin: what they decide is tested where it is decided. Here: that each is used, and
what a play shows of input that makes no sense, which is one line and no traceback.
"""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
import support
from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from jinja2 import StrictUndefined, UndefinedError

FOLDER = support.REPOSITORY / "plugins" / "filter"
PLUGINS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def filters(plugin):
    module = importlib.import_module(f"ansible_collections.intranet.mcp.plugins.filter.{plugin}")
    return module.FilterModule().filters()


ALL = {name: function for plugin in PLUGINS for name, function in filters(plugin).items()}
SERVICE = {"name": "wiki", "image": "wiki", "user": "1:1", "command": ["x"], "memory_mb": 1}
CONTEXT = {"config_dir": "/c", "data_dir": "/d", "images": {}, "prefix": "p-", "owner": "wiki"}
# Filter, what it is given, and what is said.
WRONG = {
    "catalog_roles": ([{"redis": {"prot": 1}}], "platform_services.redis has the key 'prot'"),
    "catalog_images": ([{"redis": {"port": 1}}, [], []], "platform_services.redis has no group"),
    "client_names": ([["vi"]], "clients_names has vi, expected some of claude"),
    "client_members": ([[{"name": "a", "members": []}], [], ["eve"]], "eve"),
    "haproxy_config": ([[], {}], "put a host into group litellm"),
    "traefik_config": ([[], {}], "put a host into group litellm"),
    "nginx_config": ([[], {}], "found no host of gateway and litellm"),
    "image_manifest_of_servers": ([{"a": {"pip": "unpinned"}}, []], "unpinned"),
    "image_references": ([{"tool-gone": {"digest": "sha256:1"}}], "image_extra.tool-gone has no"),
    "member_order": (
        [{host: {"role": "", "data": "primary", "has_begun": False} for host in "ab"}, "redis"],
        "found data of redis on a, b, expected it on one host",
    ),
    "mcp_servers": ([{}, {"a": {"prot": 1}}], "prot"),
    "people_plan": ([[{"name": "a", "colour": 1}], [], [], {}, []], "colour"),
    "service_specs": (
        [[{**SERVICE, "health": {}, "restart": "no"}], {**CONTEXT, "services": {}}],
        "service 'wiki': unknown key restart",
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_input_that_makes_no_sense_is_one_clear_message(name):
    given, said = WRONG[name]
    with pytest.raises(AnsibleFilterError, match=re.escape(said)) as failed:
        ALL[name](*given)
    assert "\n" not in str(failed.value)


# What a mistake in an inventory leaves where a list, a mapping or a text should be.
HOSTILE = {
    "nothing": None,
    "a number": 7,
    "a text": "hostile",
    "a list of nothing": [None],
    "a mapping to nothing": {"hostile": None},
    "something else": object(),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", sorted(ALL))
def test_hostile_input_is_one_sentence_and_never_a_traceback(name, hostile):
    """What a filter can make something of, nothing say, it may return."""
    parameters = inspect.signature(ALL[name]).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    try:
        result = ALL[name](*[hostile] * len(required))
    except AnsibleFilterError as error:
        text = str(error)
        assert "\n" not in text and "Traceback" not in text
        assert "expected" in text
    else:
        assert not inspect.isgenerator(result), "it would fail where nobody catches it"


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_text_is_never_taken_for_a_list_of_its_letters(name):
    parameters = inspect.signature(ALL[name]).parameters.values()
    first, *others = parameters
    if not re.match(r"(list|dict)\b(?!.* \| )", str(first.annotation)):
        pytest.skip("its first argument may be a text")
    rest = [{} for other in others if other.default is other.empty]
    with pytest.raises(AnsibleFilterError, match=rf"{name}: found {first.name} of type str; exp"):
        ALL[name]("hostile", *rest)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("litellm_connections", [["a", "b"], "2", " 10 "], 40),
        ("alertmanager_config", [[], "8"], "repeat_interval: 8h"),
        ("image_pulled", [{}, "", None, "false"], {}),
    ],
)
def test_numbers_and_truth_values_may_be_texts_as_role_options_may(name, given, expected):
    """`-e litellm_workers=2` is a text, which validation of a role's options takes as it is."""
    found = ALL[name](*given)
    assert expected in found if isinstance(expected, str) else found == expected


def test_a_text_that_says_no_is_no(monkeypatch):
    told = filters_of({"told": lambda upstream: upstream}, upstream="bool")["told"]
    assert (told("false"), told("yes"), told(upstream="0")) == (False, True, False)
    with pytest.raises(AnsibleFilterError, match="found upstream of type str; expected a truth"):
        told("perhaps")


def filters_of(functions, **annotations):
    for function in functions.values():
        function.__annotations__ = annotations
    return guarded(functions)


def test_an_undefined_variable_is_named():
    """Ansible's own error does so; it is raised wherever a filter uses the variable."""
    with pytest.raises(UndefinedError, match="'nowhere' is undefined"):
        ALL["subject_alt_names"](StrictUndefined(name="nowhere"))


def test_no_name_is_given_twice():
    names = [name for plugin in PLUGINS for name in filters(plugin)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_filter_is_used(name):
    texts = (
        path.read_text()
        for place in ("roles", "playbooks")
        for kind in ("yml", "j2")
        for path in (support.REPOSITORY / place).rglob(f"*.{kind}")
    )
    use = re.compile(rf"intranet\.mcp\.{name}\b")
    assert any(use.search(text) for text in texts)
