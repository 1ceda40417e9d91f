#!/bin/sh
# Hosts share a PostgreSQL, by the plug-in c-examples/store_postgres.h: see
# hosts.sh, frozen.sh, many.sh.
# flow: C12
. "$(dirname "$0")/common.sh"
[ -x "$bin/rollout_pg" ] || exit 77
pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -n "$pg" ] || exit 77
id postgres >/dev/null 2>&1 || exit 77

program=rollout_pg
store='postgres://postgres@10.77.0.254:5432/postgres'
start_server() {
    chmod 755 "$dir"
    mkdir "$dir/pg" "$dir/pgrun"
    chown postgres "$dir/pg" "$dir/pgrun"
    setpriv --reuid postgres --regid postgres --clear-groups \
        "$pg/initdb" -D "$dir/pg" -A trust -N >>"$dir/log" 2>&1
    echo 'host all all 10.77.0.0/24 trust' >>"$dir/pg/pg_hba.conf"
    start ip netns exec "$net-hub" setpriv --reuid postgres --regid postgres --clear-groups \
        "$pg/postgres" -D "$dir/pg" -h 10.77.0.254 -k "$dir/pgrun"
    server=$started
    wait_for "$pg/pg_isready" -h "$dir/pgrun"
}

# Its processes, one for each connection, too.
freeze() {
    kill -STOP "$server" $(cat "/proc/$server/task/$server/children")
}

thaw() {
    kill -CONT "$server" $(cat "/proc/$server/task/$server/children")
}

. "$(dirname "$0")/${2:-hosts}.sh"
kill -QUIT "$server"
wait "$server" || :
