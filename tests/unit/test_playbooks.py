# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whom the plays of site.yml are for."""

from __future__ import annotations

import pytest
import support
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

PLAYS = yaml.safe_load((support.REPOSITORY / "playbooks/site.yml").read_text())
# Enough of them that no set has them in this order by chance.
HOSTS = [f"app{number}" for number in range(20, 0, -1)]


def test_no_play_reads_facts_that_nobody_uses():
    """Ansible reads all of them for each play, unless its configuration or the play says no."""
    greedy = {}
    for path in sorted((support.REPOSITORY / "playbooks").glob("*.yml")):
        plays = [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]
        greedy[path.name] = [p["name"] for p in plays if p.get("gather_facts") is not False]
    assert "site.yml" in greedy
    assert not any(greedy.values()), greedy


def test_every_play_can_be_chosen_by_a_tag_that_the_first_one_knows():
    known = set(PLAYS[0]["vars"]["site_tags"])
    tags = [set(play.get("tags", [])) for play in PLAYS]
    assert set().union(*tags) == known | {"always"}
    untagged = [play["name"] for play, found in zip(PLAYS, tags, strict=True) if not found]
    assert untagged == ["Say where everything is"]  # only after a whole run
    for readme in ("README.md", "README.zh-CN.md"):
        text = (support.REPOSITORY / readme).read_text()
        (row,) = [line for line in text.splitlines() if line.startswith("| `--tags ")]
        assert not [tag for tag in known if f"`{tag}`" not in row], readme
    # What takes the lock and what gives it back run whatever is chosen.
    assert tags[0] == tags[-1] == {"always"}


@pytest.mark.parametrize("door", ["litellm", "gateway"])
def test_replicas_that_change_do_so_in_the_order_of_the_inventory(door):
    (play,) = [play for play in PLAYS if f"rolling_{door}" in play.get("hosts", "")]

    def hosts(**groups):
        templar = Templar(DataLoader(), variables={"groups": groups})
        return templar.template(trust_as_template(play["hosts"]))

    changing = sorted(HOSTS)[3:]
    found = hosts(**{door: HOSTS, f"rolling_{door}": changing})
    assert found == [host for host in HOSTS if host in changing]
    assert hosts(**{door: HOSTS}) == hosts() == ["!all"]


def test_balancers_are_there_before_anybody_is_sent_to_them():
    def place(text):
        return next(i for i, play in enumerate(PLAYS) if text in yaml.safe_dump(play))

    assert place("tasks_from: ahead") < min(place("rolling_litellm"), place("rolling_gateway"))
    # The primaries are found there, once there are any.
    assert place("clusters.yml") < place("tasks_from: ahead")
