#!/bin/sh
# install.sh [--undo]: brings the settings of this folder into your own files,
# or takes them out again. It needs Python 3.8 or later, as any Linux desktop and Apple's developer
# tools have it, and nothing else.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    echo "error: $python is not there or too old, expected Python 3.8 or later: install it (Debian: apt install python3, macOS: xcode-select --install), or name another one: PYTHON=/path/to/python3 $0" >&2
    exit 1
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here/lib"
exec "$python" -m client "$here" install "$@"
