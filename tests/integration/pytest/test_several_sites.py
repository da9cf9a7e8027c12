# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two sites that name each other: a LiteLLM each, as the role configures it, with an Ollama each.

They run without a database, so a file in place of it says what LiteLLM would know of the keys.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import MASTER_KEY, http_status, image, wait_until
from servers import configured_litellm
from servers.configured_litellm import PORT
from test_several_ollamas import SAID, SHAPES

pytestmark = pytest.mark.integration

NORTH, SOUTH = "north", "south"
OTHER = {NORTH: SOUTH, SOUTH: NORTH}
MODEL = "coder:1"
SERVER = Path(__file__).parent / "servers" / "scripted_ollama.py"
SITES_KEY = f"sk-{secrets.token_hex(16)}"
# What keeps a request at the site that it was sent to: what is noted with the key, or what it says.
GUARDS = ("key", "request")
AUTH = """
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {KEYS}


async def known(request, api_key):
    return UserAPIKeyAuth(api_key=api_key, metadata=KEYS[api_key])
"""


class Sites:
    """Both, with one guard; the other is left out."""

    def __init__(self, docker, folder: Path, guard: str) -> None:
        self._docker, self._guard = docker, guard
        self._ollamas, self._litellms = {}, {}
        for site in OTHER:
            self._ollamas[site] = self._ollama(site)
            self._litellms[site] = self._litellm(folder / site, site)
        for site in OTHER:
            alive = f"{self._url(site)}/health/liveliness"
            wait_until(lambda alive=alive: http_status(alive) == 200, 180, alive)

    def _name(self, kind: str, site: str) -> str:
        return f"{kind}-{self._guard}-{site}"

    def _ollama(self, site: str) -> str:
        options = (f"--volume={SERVER}:/srv/ollama.py:ro", f"--network-alias={site}-ollama")
        return self._docker.start(
            self._name("ollama", site),
            image("gateway"),
            *options,
            "--entrypoint=python3",
            command=("/srv/ollama.py", str(PORT)),
            env={"NAME": SAID.format(site)},
        )

    def _litellm(self, folder: Path, site: str) -> str:
        folder.mkdir()
        other = {"name": OTHER[site], "key": SITES_KEY}
        other["url"] = f"http://{self._name('litellm', OTHER[site])}:4000"
        address = {site: self._name("ollama", site)}
        said = {"ollama_models": [{"name": MODEL}], "litellm_sites": [other]}
        configured_litellm.render(folder, address, [site], **said)
        self._without_the_other_guard(folder / site / "config.yaml")
        notes = {"disable_fallbacks": True} if self._guard == "key" else {}
        keys = {SITES_KEY: notes, MASTER_KEY: {}}
        (folder / site / "keys.py").write_text(AUTH.replace("{KEYS}", repr(keys)))
        return configured_litellm.start(
            self._docker,
            image("litellm"),
            self._name("litellm", site),
            folder / site,
            MASTER_KEY,
            SITE_KEY_1=SITES_KEY,
        )

    def _without_the_other_guard(self, place: Path) -> None:
        config = yaml.safe_load(place.read_text())
        config["general_settings"]["custom_auth"] = "keys.known"
        if self._guard == "key":
            for deployment in config["model_list"]:
                deployment["litellm_params"].pop("extra_body", None)
        place.write_text(yaml.safe_dump(config))

    def _url(self, site: str) -> str:
        return f"http://{self._docker.address(self._litellms[site], 4000)}"

    def ask(self, site: str, path: str, body: dict) -> tuple[int, str]:
        """Ask a site as its people do."""
        request = urllib.request.Request(
            self._url(site) + path,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {MASTER_KEY}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def asked(self, site: str) -> int:
        """Return how often a site was asked for a model."""
        logs = self._docker.try_run("logs", self._litellms[site])
        return (logs.stdout + logs.stderr).count('"POST /v1')

    def remove(self) -> None:
        containers = (*self._litellms.values(), *self._ollamas.values())
        self._docker.try_run("rm", "-fv", *containers)

    @contextlib.contextmanager
    def away(self, *sites: str):
        """Let the model servers of sites be away."""
        for site in sites:
            self._docker.run("stop", "--time=1", self._ollamas[site])
        try:
            yield
        finally:
            for site in sites:
                self._docker.run("start", self._ollamas[site])


@pytest.fixture(scope="module", params=GUARDS)
def sites(request, docker, tmp_path_factory):
    made = Sites(docker, tmp_path_factory.mktemp("sites"), request.param)
    yield made
    made.remove()  # those of the next guard have the same names on the network


def shaped(shape):
    return SHAPES[shape](1, secrets.token_hex(8))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_site_asks_its_own_servers_as_long_as_they_answer(sites, shape):
    for site, other in OTHER.items():
        before = sites.asked(other)
        status, answer = sites.ask(site, *shaped(shape))
        assert status == 200 and SAID.format(site) in answer, answer
        assert sites.asked(other) == before


@pytest.mark.parametrize("shape", SHAPES)
def test_the_other_site_answers_at_once_and_until_the_own_servers_are_back(sites, shape):
    with sites.away(NORTH):
        for _asked in range(2):  # its server fails, and then is set aside
            status, answer = sites.ask(NORTH, *shaped(shape))
            assert status == 200 and SAID.format(SOUTH) in answer, answer
    wait_until(
        lambda: SAID.format(NORTH) in sites.ask(NORTH, *shaped(shape))[1], 60, "north's own server"
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_no_request_comes_back_to_the_site_that_it_came_from(sites, shape):
    """Neither the first, of which servers fail, nor the next, when they are set aside."""
    with sites.away(NORTH, SOUTH):
        before = {site: sites.asked(site) for site in OTHER}
        for _asked in range(3):
            status, answer = sites.ask(NORTH, *shaped(shape))
            assert status >= 400, answer
        time.sleep(2)  # nothing tells that nobody asks
        assert sites.asked(SOUTH) > before[SOUTH]
        assert sites.asked(NORTH) == before[NORTH] + 3
