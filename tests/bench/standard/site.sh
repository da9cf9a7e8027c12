#!/bin/sh
# site.sh: how long site.yml takes on four and on eight bare hosts with the images at hand, and again
# with nothing to change, with the roles that take longest. The hosts are those of the Molecule
# scenario `standard`, made and removed here; `make images` comes first.
# shellcheck disable=SC2086  # inventories are a list of arguments
set -eu
cd "$(dirname "$0")/../../.."
export LC_ALL=C.UTF-8 PATH="$PWD/.venv/bin:$PATH"
export MOLECULE_PROJECT_DIRECTORY="$PWD" MOLECULE_SCENARIO_DIRECTORY="$PWD/molecule/standard"
scenario=molecule/standard
engineer=$PWD/.cache/molecule/standard
tests/tools/install_artifact.py "$engineer"
export ANSIBLE_CONFIG="$engineer/ansible.cfg" ANSIBLE_COLLECTIONS_PATH="$engineer/collections"
log=$(mktemp)

run() {
    began=$(date +%s)
    ansible-playbook $inventories "$@" </dev/null >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
    seconds=$(($(date +%s) - began))
}

for overlay in '' eight; do
    inventories="-i $scenario/inventory${overlay:+ -i $scenario/$overlay}"
    run molecule/shared/create.yml
    count=$(ansible $inventories platform --list-hosts | head -n 1 | tr -dc 0-9)
    run intranet.mcp.site
    echo "$count hosts, bare to verified: $seconds s"
    export ANSIBLE_CALLBACKS_ENABLED=ansible.posix.profile_roles
    run intranet.mcp.site
    unset ANSIBLE_CALLBACKS_ENABLED
    grep -Eq 'changed=[1-9]' "$log" && { echo "something changed:"; grep changed= "$log"; exit 1; }
    echo "$count hosts, nothing to change: $seconds s"
    sed -n '/^ROLES RECAP/,$p' "$log" | head -n 14
    run molecule/shared/destroy.yml
done
rm -f "$log"
