# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a report does to the terminal that shows it."""

from __future__ import annotations

from types import SimpleNamespace

from ansible_collections.intranet.mcp.plugins.action import show


def test_names_in_a_report_do_nothing_to_the_terminal(monkeypatch):
    said = []
    monkeypatch.setattr(show.display, "display", said.append)
    task = SimpleNamespace(
        async_val=0,
        check_mode=False,
        diff=False,
        no_log=False,
        args={"text": ["alice\x1b[1A\x1b[2K", "张三  é\r", "two\nlines\n"]},
    )
    shell = SimpleNamespace(tmpdir=None)
    action = show.ActionModule(task, SimpleNamespace(_shell=shell), None, None, None, None)
    result = action.run()
    assert said == ["alice?[1A?[2K\n张三  é?\ntwo\nlines"]
    assert result["lines"] == 4
