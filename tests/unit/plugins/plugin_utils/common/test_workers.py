# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import itertools
import subprocess
import sys

import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.common import workers

PLUGINS = support.REPOSITORY / "plugins"
# In a process of its own: what others imported would prove nothing.
IMPORTED = """
import sys
sys.path.insert(0, sys.argv[1])
import support
support.make_collection_importable()
from ansible.plugins.loader import init_plugin_loader, lookup_loader
init_plugin_loader()
lookup_loader.get("intranet.mcp.hosts").run([], {"platform_services": {}, "groups": {}})
import gc
print(gc.get_freeze_count(), *sys.modules)
"""


def test_who_asks_for_hosts_imports_every_filter_and_lookup_before_workers_are_forked():
    tests = str(support.REPOSITORY / "tests")
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED, tests], capture_output=True, text=True, check=True
    )
    expected = {
        f"{workers.PACKAGE}.{kind}.{path.stem}"
        for kind in ("filter", "lookup")
        for path in (PLUGINS / kind).glob("*.py")
    }
    assert len(expected) > 10
    frozen, *imported = run.stdout.split()
    assert not expected - set(imported)
    assert int(frozen) > 10000, "a worker's garbage collection goes through them once more"


def test_the_main_process_makes_a_thing_anew_and_a_worker_keeps_it(monkeypatch):
    count = itertools.count()
    monkeypatch.setattr(workers, "_KEPT", {})

    def asked(host):
        return workers.once_a_task("number", host, lambda: next(count))

    assert [asked("a"), asked("a")] == [0, 1]
    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: "the main process")
    assert [asked("a"), asked("a"), asked("b"), asked("a")] == [2, 2, 3, 2]
