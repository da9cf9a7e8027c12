#!/bin/sh
# suite.sh STAGE: one pytest run over what the stage stands for, so that there is one closing line
# and one exit status. Called by the Makefile, with .venv/bin on PATH.
set -eu
cd "$(dirname "$0")/../.."

path_of() {
    case $1 in
    unit) echo tests/unit ;;
    modules) echo tests/suite/test_images.py tests/integration/pytest ;;
    *) echo "tests/suite/test_$1.py" ;;
    esac
}

# Cheap findings come first; each later stage uses what earlier ones proved.
case $1 in
all) set -- lint unit artefact sanity gateway images modules molecule cores ;;
quick) set -- lint unit artefact gateway ;;
molecule | standard | cores) set -- images "$1" ;;
esac

paths=
for stage in "$@"; do
    for path in $(path_of "$stage"); do
        case " $paths " in *" $path "*) ;; *) paths="$paths $path" ;; esac
    done
done

# shellcheck disable=SC2086  # a list of paths without spaces
exec python -m pytest -p no:cacheprovider --import-mode=importlib $paths
