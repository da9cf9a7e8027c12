#!/bin/sh
# Creates the cluster in PGDATA once, then runs the command.
# POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_INITDB_ARGS and
# /docker-entrypoint-initdb.d/*.{sh,sql} mean what they mean in the upstream image.
set -eu

die() {
    echo "postgres: $1" >&2
    exit 1
}

# The cluster is made beside its place and moved there with PG_VERSION last: a container killed
# half-way leaves no PG_VERSION, so the next start begins afresh.
create_cluster() {
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    password=${POSTGRES_PASSWORD:-}
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        [ -r "$POSTGRES_PASSWORD_FILE" ] || die "POSTGRES_PASSWORD_FILE=$POSTGRES_PASSWORD_FILE \
cannot be read by uid $(id -u); expected a readable file: mount it with that owner or group"
        password=$(cat "$POSTGRES_PASSWORD_FILE")
    fi
    [ -n "$password" ] || die "no password for the new cluster; expected POSTGRES_PASSWORD_FILE \
(or POSTGRES_PASSWORD): set one of them"

    new=$PGDATA/.new
    rm -rf "$new"
    rest=$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name 'PG_*' \
        ! -name base ! -name global ! -name 'pg_*' ! -name 'postgresql*.conf')
    [ -z "$rest" ] || die "PGDATA=$PGDATA holds files but no cluster (first: $(echo "$rest" | head -n 1)); \
expected an empty directory or a cluster: empty it or mount another volume"
    find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +

    pwfile=$(mktemp /tmp/pw.XXXXXX)
    printf '%s' "$password" > "$pwfile"
    # shellcheck disable=SC2086  # the upstream variable is a list of options
    initdb -D "$new" --username="$user" --pwfile="$pwfile" --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
    rm -f "$pwfile"
    printf '\nhost all all all scram-sha-256\n' >> "$new/pg_hba.conf"
    sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" "$new/postgresql.conf"

    provision "$new" "$user" "$database"

    for entry in "$new"/* "$new"/.[!.]*; do
        case $entry in
            */PG_VERSION) ;;
            *) if [ -e "$entry" ]; then mv "$entry" "$PGDATA/"; fi ;;
        esac
    done
    mv "$new/PG_VERSION" "$PGDATA/"
    rmdir "$new"
}

# Database and init scripts, with a server that only this container reaches.
provision() {
    socket=$(mktemp -d /tmp/init.XXXXXX)
    pg_ctl -D "$1" -w -t 60 -o "-c listen_addresses= -c unix_socket_directories=$socket" start
    export PGHOST="$socket" PGUSER="$2"
    if [ "$3" != postgres ]; then
        psql -d postgres -v ON_ERROR_STOP=1 -v name="$3" --no-psqlrc <<'SQL'
create database :"name";
SQL
    fi
    export PGDATABASE="$3"
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) sh "$script" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -f "$script" ;;
        esac
    done
    unset PGHOST PGUSER PGDATABASE
    pg_ctl -D "$1" -m fast -w stop
    rmdir "$socket"
}

case ${1:-} in
    -*) set -- postgres "$@" ;;
esac
if [ "${1:-}" = postgres ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA" 2>/dev/null || true  # a mounted volume may belong to root
    [ -s "$PGDATA/PG_VERSION" ] || create_cluster
fi
exec "$@"
