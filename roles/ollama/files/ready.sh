#!/bin/sh
# Whether every model of /config/models, a name a line, was there once since the pod began: nobody is
# sent to a server without models. One that is declared later takes those that are there from nobody.
set -eu
once=/dev/shm/models-are-there
listed=$(ollama list)
if [ -e "$once" ]; then
    exit 0
fi
while read -r name; do
    case "$listed" in
    *"
$name "*) ;;
    *)
        echo "$name is not there yet" >&2
        exit 1
        ;;
    esac
done < /config/models
touch "$once"
