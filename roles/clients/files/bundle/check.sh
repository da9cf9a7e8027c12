#!/bin/sh
# check.sh: tells on one screen whether the models and the tools answer.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    echo "error: $python is not there or too old, expected Python 3.8 or later: install it, or name another one: PYTHON=/path/to/python3 $0" >&2
    exit 1
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here/lib"
exec "$python" -m client "$here" check "$@"
