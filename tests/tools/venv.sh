#!/bin/sh
# venv.sh DIRECTORY REQUIREMENTS...: a virtual environment with exactly these pinned requirements.
# It is made anew when the first file or Python changed; what is there is not installed again.
set -eu
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
venv=$1
shift

fail() {
    echo "error: $*" >&2
    exit 1
}

found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
    fail "'$python' is not a Python interpreter; 3.11 or later is needed. Name one: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "'$python' is Python $found; 3.11 or later is needed. Name one: make PYTHON=/path/to/python3.11"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Python $found lacks its venv module: installing python3-venv" >&2
        apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv >&2
    else
        fail "Python $found lacks its venv module. Install the package python3-venv, then try again"
    fi
fi

# Each file has its stamp: `make up` needs less than `make test`, and neither undoes the other.
stamp() { echo "$found $(sha256sum <"$1" | cut -d' ' -f1)"; }
installed() { [ "$(cat "$venv/.$(basename "$1").stamp" 2>/dev/null)" = "$(stamp "$1")" ]; }

if ! installed "$1"; then
    echo "Creating $venv with Python $found" >&2
    "$python" -m venv --clear "$venv"
fi
for file in "$@"; do
    if ! installed "$file"; then
        echo "Installing $file into $venv" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$file"
        stamp "$file" >"$venv/.$(basename "$file").stamp"
    fi
done

# Ansible finds the collection by its name only in a directory of that name.
mkdir -p .cache/collections/ansible_collections/intranet
ln -sfn ../../../.. .cache/collections/ansible_collections/intranet/mcp
