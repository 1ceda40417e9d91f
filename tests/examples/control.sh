#!/bin/sh
# After "ok version N" no client is ever answered from an older table, while
# workers are killed, the service is reloaded and the controller dies.
# flow: C4, C5, C9, W2, W7, L11
. "$(dirname "$0")/common.sh"

start "$bin/control" --listen "unix:$dir/service" --control "$dir/control" \
    --table "$dir/table" --workers 4
service=$started
wait_for has_open 4

# The child of the master that is no worker.
controller_pid() {
    status=$(ask "$dir/control" status)
    for pid in $(cat "/proc/$service/task/$service/children"); do
        echo "$status" | grep -q "^[0-9]* $pid " || echo "$pid"
    done
}

version=1
round=0
while [ "$round" -lt 40 ]; do
    round=$((round + 1))
    case $((round % 8)) in
    2 | 6) kill -KILL "$(worker_pids | head -n 1)" ;;
    4) answer=$(ask "$dir/control" reload) && case $answer in ok*) ;; *) fail "reload: $answer" ;; esac ;;
    7)
        wait_for has_open 4
        kill -KILL "$(controller_pid)"
        wait_for has_open 4
        ;;
    esac
    answer=$(ask "$dir/control" "route users 10.0.0.$round:3306")
    next=${answer#ok version }
    next=${next%% *}
    case $answer in ok*) ;; *) fail "round $round: $answer" ;; esac
    [ "$next" -gt "$version" ] || fail "version $next after $version"
    version=$next
    for question in 1 2 3 4 5 6 7 8; do
        answer=$(ask "$dir/service" users)
        [ "${answer%% *}" -ge "$version" ] || fail "round $round: $answer after version $version"
        [ "${answer#* }" = "10.0.0.$round:3306" ] || fail "round $round: $answer"
    done
done
[ "$(ask "$dir/service" nobody)" = "$version -" ] || fail 'an unknown key has no address'
[ "$(head -n 1 "$dir/table")" = "version $version" ] || fail 'the table is not what was saved'
stop "$service"
echo "control: $round versions, none served late"
