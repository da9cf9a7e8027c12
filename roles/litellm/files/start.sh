#!/bin/sh
# Migrations first, and the server only on a migrated database. Our image brings litellm-migrate,
# which holds a lock, so that of several replicas one migrates and the others wait. The upstream
# image has no such command and migrates by itself when it starts.
set -eu
if command -v litellm-migrate > /dev/null; then
    litellm-migrate
    export DISABLE_SCHEMA_UPDATE=true
fi
exec "$@"
