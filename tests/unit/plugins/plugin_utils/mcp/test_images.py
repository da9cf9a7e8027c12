# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import build_services
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import images as mcp_images
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp.servers import (
    merge,
    tool_services,
)

DEFAULTS = {"user": "10001:10001", "memory_mb": 512, "pids": 256}
GITHUB = {"image": "ghcr.io/github/github-mcp-server:v1.0.0", "port": 8120}
SAID = {
    "entrypoint": ["/server/github-mcp-server"],
    "cmd": ["stdio"],
    "env": ["PATH=/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/own.crt", "LD_PRELOAD=/x.so"],
}


def service(server, image=SAID):
    (found,) = tool_services(
        merge({}, {"hub": server}),
        {"hub": "t0ken"},
        DEFAULTS,
        {"images": {"tool-hub": image}, "bridge": "/var/x/bridge/1"},
    )
    return found


def upstream(found):
    return json.loads(found["files"]["bridge.yml"])["upstreams"]["hub"]


def launch(found):
    return json.loads(found["files"]["launch.json"])


def test_the_bridge_is_mounted_into_the_image_and_starts_the_images_own_program():
    found = service(GITHUB)
    assert "/var/x/bridge/1:/bridge:ro,z" in found["binds"]
    assert found["entrypoint"][0] == "/bridge/ld.so"
    assert (upstream(found)["command"], upstream(found)["args"]) == (
        "/server/github-mcp-server",
        ["stdio"],
    )


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        ({"args": ["stdio", "--read-only"]}, ["/server/github-mcp-server", "stdio", "--read-only"]),
        ({"args": []}, ["/server/github-mcp-server"]),
        ({"command": ["/bin/other", "-x"]}, ["/bin/other", "-x"]),
    ],
)
def test_args_replace_the_images_arguments_and_command_all_of_it(given, argv):
    found = upstream(service({**GITHUB, **given}))
    assert [found["command"], *found["args"]] == argv


def test_nothing_in_the_container_needs_a_shell_or_a_python_of_the_image():
    for server in (GITHUB, {**GITHUB, "http_path": "/mcp", "secrets": {"A": "b"}}):
        found = service(server)
        assert found["entrypoint"] == mcp_images.PYTHON
        assert found["health"]["command"][: len(mcp_images.PYTHON)] == mcp_images.PYTHON
        assert "secret_env" not in found, "a shell hands those over"


def test_the_program_has_its_images_environment_but_trusts_whom_the_platform_says():
    env = upstream(service({**GITHUB, "env": {"GITHUB_HOST": "https://git.example"}}))["env"]
    assert env["GITHUB_HOST"] == "https://git.example"
    assert env["LD_PRELOAD"] == "/x.so"
    assert "SSL_CERT_FILE" not in env
    assert service(GITHUB)["env"]["LD_PRELOAD"] == "", "Python here has other libraries"


HOSTILE = {
    "PYTHONUTF8": "9",
    "PYTHONWARNINGS": "error",
    "PYTHONVERBOSE": "1",
    "PYTHONHASHSEED": "x",
    "LD_AUDIT": "/nowhere.so",
    "OPENSSL_CONF": "/nowhere.cnf",
    "LC_ALL": "xx",
}


def test_nothing_of_the_image_changes_what_the_bridges_python_does(tmp_path):
    """Its variables, and the directory it starts in, which may have modules of any name."""
    (tmp_path / "json.py").write_text("raise SystemExit('the image')")
    site = f"{tmp_path}/.local/lib/python3.{sys.version_info.minor}/site-packages"
    Path(site).mkdir(parents=True)
    (Path(site) / "usercustomize.py").write_text("print('the image')")
    own = {**HOSTILE, "HOME": str(tmp_path)}
    image = {**SAID, "env": [f"{key}={value}" for key, value in own.items()]}
    for server in (GITHUB, {**GITHUB, "http_path": "/"}):
        env = service(server, image)["env"]
        here = {key: value for key, value in env.items() if not value.startswith("/bridge")}
        done = subprocess.run(
            [
                Path(sys.executable).resolve(),
                "-c",
                "import json, ssl, sys; print(json.dumps(sys.warnoptions))",
            ],
            env={**own, **here, "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_program_has_every_variable_of_its_image_and_none_of_the_bridges():
    image = {**SAID, "env": ["PATH=/own/bin", *(f"{k}={v}" for k, v in HOSTILE.items())]}
    given = {**HOSTILE, "HOME": "/tmp", "PATH": "/own/bin"}
    assert upstream(service(GITHUB, image))["env"] == given
    listens = service({**GITHUB, "http_path": "/"}, image)
    assert launch(listens)["env"] == given
    assert launch(listens)["hidden"] == sorted(listens["env"])
    assert "PATH" not in listens["env"], "who looks into a container finds its programs"


@pytest.mark.parametrize(
    "own", ["", "0", "root:root", "node", "65532", "1000:100", "1001:0", "\N{SUPERSCRIPT TWO}"]
)
def test_the_program_runs_as_the_site_says_and_never_as_an_account_that_its_image_names(own):
    """A person's processes on the host read what those of the same number have in memory."""
    found = mcp_images.said(
        ["tool-hub"], {"tool-hub": "x:1"}, [{"RepoTags": ["x:1"], "Config": {"User": own}}]
    )
    image = {**SAID, **{key: value for key, value in found["tool-hub"].items() if value}}
    assert service(GITHUB, image)["user"] == "10001:10001"
    assert service({**GITHUB, "user": "2000:2001"}, image)["user"] == "2000:2001"


@pytest.mark.parametrize(
    "user", ["0:0", "00:1", "1000:0", "1000", "tools", "\N{SUPERSCRIPT TWO}:1", 60050]
)
def test_no_server_runs_as_root_or_in_its_group_whoever_says_so(user):
    with pytest.raises(Unusable, match=r"tool_server_user is .*; expected numbers 'uid:gid'"):
        tool_services(merge({}, {"hub": GITHUB}), {"hub": "t0ken"}, {**DEFAULTS, "user": user})


def test_what_an_image_declares_as_volume_is_memory_with_a_bound():
    """The engine would give it disk without one, and leave that behind with each container."""
    image = {**SAID, "volumes": {"/data": {}, "/var/lib/x/../y/": {}, "/cache": {}, "/tmp": {}}}
    found = service({**GITHUB, "volumes": {"/cache": "/srv/cache:rw"}, "memory_mb": 100}, image)
    bounded = "size=50m,mode=0700,uid=10001,gid=10001"
    assert found["tmpfs"] == ["/tmp", f"/data:{bounded}", f"/var/lib/y:{bounded}"]
    assert service(GITHUB)["tmpfs"] == ["/tmp"]


def test_a_volume_of_an_image_where_the_platform_mounts_something_is_that():
    image = {**SAID, "volumes": {"/config": {}, "//secrets": {}}}
    assert service({**GITHUB, "secrets": {"A": "b"}}, image)["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize(
    "path", ["/proc/x", "/", "/config/x", "/trust", "/a:b", "/x/../bridge/lib"]
)
def test_a_volume_of_an_image_where_none_may_be_is_refused(path):
    with pytest.raises(Unusable, match=r"hub: its image declares VOLUME .*; expected"):
        service(GITHUB, {**SAID, "volumes": {path: {}}})


def test_a_server_cannot_read_the_token_that_its_bridge_is_called_with():
    assert "t0ken" not in json.dumps(service(GITHUB))


def test_secrets_are_files_of_the_server_and_stand_in_no_configuration():
    server = {**GITHUB, "secrets": {"TOKEN": "s3cret"}}
    found = service(server)
    assert found["secrets"] == {"TOKEN": "s3cret"}
    assert upstream(found)["env_from"] == {"TOKEN": {"file": "/secrets/TOKEN"}}
    listens = service({**server, "http_path": "/"})
    assert listens["secrets"] == {"TOKEN": "s3cret", "token": "t0ken"}
    assert launch(listens)["secrets"] == {"TOKEN": "/secrets/TOKEN"}
    assert "s3cret" not in json.dumps([found["files"], listens["files"]])


def test_an_image_that_listens_is_asked_at_the_port_and_path_of_its_entry():
    server = {**GITHUB, "http_path": "/mcp", "http_port": 8082, "http_health": "/healthz"}
    assert service(server)["health"]["command"][-2:] == ["8082", "/healthz"]
    assert launch(service(server))["argv"] == ["/server/github-mcp-server", "stdio"]
    catalog = {"tools": {"group": "tool_servers", "members": "mcp_servers", "container_port": 8000}}
    ports = {
        name: build_services(catalog, {"hub": entry})["tool-hub"].inside_port
        for name, entry in (("listens", server), ("stdio", GITHUB))
    }
    assert ports == {"listens": 8082, "stdio": 8000}


def test_an_image_that_starts_nothing_is_refused_with_the_remedy():
    with pytest.raises(Unusable, match=r"neither ENTRYPOINT nor CMD; .*set command"):
        service(GITHUB, {"entrypoint": [], "cmd": [], "env": []})


def test_an_image_that_is_not_there_yet_is_no_mistake_of_the_entry():
    """A bare host in check mode has none."""
    assert upstream(service(GITHUB, {}))["command"] == "unknown"


def test_what_the_engine_says_is_found_by_the_images_name():
    config = {"Entrypoint": ["/x"], "Cmd": None, "Env": ["A=b"], "Volumes": {"/d": {}}}
    found = [{"RepoTags": ["intranet-mcp/tool-hub:1"], "Config": config}, {"RepoTags": None}]
    references = {"tool-hub": "intranet-mcp/tool-hub:1", "tool-far": "intranet-mcp/tool-far:1"}
    said = mcp_images.said(["tool-hub", "tool-far"], references, found)
    assert said["tool-hub"] == {
        "entrypoint": ["/x"],
        "cmd": [],
        "env": ["A=b"],
        "volumes": {"/d": {}},
    }
    assert said["tool-far"] == {}


def test_images_without_a_bridge_are_those_of_others_and_those_that_listen():
    servers = {
        "hub": GITHUB,
        "own": {"image": "tool-own", "command": ["x"], "port": 1},
        "web": {"image": "tool-web", "http_path": "/", "port": 2},
        "far": {"url": "https://x"},
        "packaged": {"pip": "a==1", "command": ["a"], "port": 3},
    }
    manifest = {name: {"version": "1", "recipe": {}} for name in ("tool-own", "tool-web")}
    manifest = {name: {**entry, "recipe": {"context": "x"}} for name, entry in manifest.items()}
    everything = {**manifest, **images.manifest_of_servers(servers, manifest)}
    assert images.foreign_of_servers(servers, everything) == ["tool-hub", "tool-web"]
