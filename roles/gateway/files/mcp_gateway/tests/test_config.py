"""The configuration file: every problem is named, with what was expected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mcp_gateway.config import ConfigError, load, parse

README = Path(__file__).parent.parent / "README.md"
GOOD = {"auth": {"none": True}}


def problems(**sections):
    with pytest.raises(ConfigError) as caught:
        parse({**GOOD, **sections})
    return caught.value.problems


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"listn": {}}, "listn: unknown option; did you mean listen?"),
        ({"zzz": {}}, "zzz: unknown option; known: audit, auth"),
        ({"listen": {"port": "x"}}, "listen.port: Expected int, got str"),
        ({"listen": []}, "listen: expected a mapping, found a list"),
        ({"limits": {"calls": 1.5}}, "limits.calls: Expected int, got float"),
        ({"listen": {"host": "0.0.0.0"}}, "auth.none: allowed only on a loopback address"),
        ({"auth": {}}, "auth: nobody could log in"),
        ({"auth": None}, "auth: expected a mapping, found nothing"),
        (
            {"auth": {"none": True, "litellm": {"url": "http://l"}}},
            "auth: none cannot be combined",
        ),
        ({"auth": {"litellm": {}}}, "auth.litellm.url: is required"),
        ({"auth": {"static_keys": [{"alias": "a"}]}}, "set exactly one of sha256, key_file"),
        (
            {"auth": {"static_keys": [{"alias": "a", "sha256": "xyz"}]}},
            "expected 64 lower-case hexadecimal digits",
        ),
        ({"upstreams": {"a": {"type": "ftp"}}}, "upstreams.a.type: Invalid enum value 'ftp'"),
        ({"upstreams": {"a": {}}}, "upstreams.a.type: is required"),
        ({"upstreams": {"a": {"type": "stdio"}}}, "upstreams.a.command: is required"),
        ({"upstreams": {"a": {"type": "http"}}}, "upstreams.a.url: found None, expected an http"),
        (
            {"upstreams": {"A_": {"type": "stdio", "command": "x"}}},
            "upstreams.A_: server names are lower-case",
        ),
        (
            {"upstreams": {"a__b": {"type": "stdio", "command": "x"}}},
            "upstreams.a__b: server names are lower-case",
        ),
        (
            {"upstreams": {"a": {"type": "stdio", "command": "x", "env_from": {"A": {}}}}},
            "upstreams.a.env_from.A: set exactly one of file, env",
        ),
        ({"policy": {"rules": [{"name": ""}]}}, "policy.rules[0].name: must not be empty"),
        ({"policy": {"rules": [{"name": "a", "tool": []}]}}, "did you mean tools?"),
        ({"sessions": {"peer_url": "http://a:1"}}, "sessions.peers: found []"),
        (
            {"sessions": {"peer_url": "http://${NO_SUCH}:1", "peers": ["http://b:1"]}},
            "sessions.peer_url: the environment has no NO_SUCH",
        ),
        (
            {"sessions": {"peer_url": "http://192.0.2.1:1", "peers": ["http://b:2"]}},
            "sessions.peers: found ['http://b:2']",
        ),
        ({"sessions": {"key_files": ["/no/such"]}}, "sessions.key_files: /no/such cannot be read"),
        ({"listen": {"tls_cert_file": "x"}}, "must be set together"),
        ({"listen": {"portal_url": "/portal"}}, "listen.portal_url: found '/portal', expected"),
        ({"listen": {"portal_url": "https://a/\r\nx: y"}}, "expected an http:// or https://"),
    ],
)
def test_each_problem_is_named(sections, expected):
    assert any(expected in p for p in problems(**sections)), problems(**sections)


def test_one_mistake_does_not_hide_the_next():
    found = problems(listn={}, limits={"calls": "x"}, upstreams={"a": {"type": 3}})
    assert len(found) == 3


def test_a_file_that_is_no_yaml_or_not_there_is_named(tmp_path):
    path = tmp_path / "gateway.yml"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(str(path))
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load(str(path))
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load(str(path))


def test_the_readmes_configuration_is_complete_and_shows_the_defaults():
    """Every option of every section stands in the README, with its real default."""
    import msgspec
    from mcp_gateway import settings

    block = README.read_text().split("```yaml\n")[1].split("```")[0]
    shown = yaml.safe_load(block)
    example = shown.pop("upstreams")["example"]
    default = msgspec.to_builtins(settings.Config(auth=settings.Auth(none=True)))
    default.pop("upstreams")
    default["auth"]["none"] = False
    assert shown == default
    options = {f.name for f in msgspec.structs.fields(settings.Upstream)}
    assert set(example) == options
    for section in (settings.LitellmAuth, settings.OidcAuth, settings.Rule, settings.StaticKey):
        for field in msgspec.structs.fields(section):
            assert f"{field.name}" in block, f"{section.__name__}.{field.name}"


def test_the_command_line_checks_a_file_without_starting(tmp_path):
    path = tmp_path / "gateway.yml"
    path.write_text(json.dumps(GOOD))
    command = [sys.executable, "-m", "mcp_gateway", "--check", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{path}: good, 0 servers\n")
    path.write_text(json.dumps({"auth": {}, "x": 1}))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "x: unknown option" in done.stderr and "Traceback" not in done.stderr
