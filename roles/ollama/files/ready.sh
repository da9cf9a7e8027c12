#!/bin/sh
# Whether every model of /config/models is there, a name a line: nobody is sent to a server without.
set -eu
listed=$(ollama list)
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
