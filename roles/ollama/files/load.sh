#!/bin/sh
# Has the declared models in Ollama's store, out of the site's registry. Each argument is "NAME SOURCE
# DIGEST" (- for any digest), or "NAME" for a model that is to go.
# A server of its own, on loopback, pulls; what serves people looks into the store at each request.
set -eu
export OLLAMA_HOST=127.0.0.1:11435
ollama serve &
server=$!
trap 'kill "$server"' EXIT

tries=0
until ollama list > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
        echo "Ollama does not answer after 60 s, expected a server on $OLLAMA_HOST: see above" >&2
        exit 1
    fi
    sleep 1
done

# The id that Ollama lists of a model, the beginning of its digest; empty where it has none.
id_of() {
    ollama list | while read -r listed id _rest; do
        if [ "$listed" = "$1" ]; then
            echo "$id"
        fi
    done
}

is_wanted() { # ID DIGEST
    case "$2" in
    -) [ -n "$1" ] ;;
    *) [ -n "$1" ] && case "$2" in "$1"*) true ;; *) false ;; esac ;;
    esac
}

for model in "$@"; do
    # Three words each.
    # shellcheck disable=SC2086
    set -- $model
    name=$1 source=${2:-} digest=${3:--}
    if [ -z "$source" ]; then
        [ -z "$(id_of "$name")" ] || ollama rm "$name"
        continue
    fi
    if is_wanted "$(id_of "$name")" "$digest"; then
        echo "$name is there"
        continue
    fi
    echo "pulling $source"
    ollama pull "$source"
    found=$(id_of "$source")
    if ! is_wanted "$found" "$digest"; then
        echo "$source has the id $found, expected the beginning of $digest: correct the registry, or digest in ollama_models" >&2
        exit 1
    fi
    if [ "$source" != "$name" ]; then
        ollama cp "$source" "$name"
        ollama rm "$source" # its name alone: the weights are the other's, too
    fi
done
