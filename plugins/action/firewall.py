# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Loads the firewall, then proves over a new connection that the host can still be reached.

The module leaves a timer on the host that takes new rules back; only a module call that came in
through them stops it. One task does both, so that the second half is never left out.
"""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

MODULE = "intranet.mcp.firewall"


class ActionModule(ActionBase):
    """Apply, reconnect, confirm."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key != "confirm"}
        result = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=task_vars
        )
        if result.get("reason") == "nft_missing":
            self._install(arguments.get("package", "nftables"), task_vars)
            result = self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=task_vars
            )
        if result.get("pending") and not result.get("failed"):
            confirmed = self._confirm({**arguments, "confirm": result["pending"]}, task_vars)
            if confirmed.get("failed"):
                return confirmed
            result["pending"] = ""
        return result

    def _confirm(self, arguments, task_vars):
        try:
            if self._connection.transport == "ssh":
                # An established connection proves nothing: it passes whatever the rules say.
                self._connection.reset()
            return self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=task_vars
            )
        except AnsibleConnectionFailure as error:
            raise AnsibleActionFail(
                f"no new connection under the new firewall rules ({error}). The host takes them "
                f"back by itself within {arguments.get('rollback_seconds', 30)} s: add the port "
                "you connect by to firewall_ssh_ports, then run again"
            ) from error

    def _install(self, package, task_vars):
        task = self._task.copy()
        task.args = {"name": package, "state": "present", "update_cache": True}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.package",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        installed = action.run(task_vars=task_vars)
        if installed.get("failed"):
            raise AnsibleActionFail(
                f"nft is not there and {package} cannot be installed: {installed.get('msg')}. "
                "Make the package available (mirror, bundle) or set firewall_package"
            )
