#!/bin/sh
# After "ok version N" no client is ever answered from an older table, while
# workers are killed, the service is reloaded and the controller dies.
# flow: C4, C5, C9, W2, W7, L11
. "$(dirname "$0")/common.sh"

start "$bin/control" --listen "unix:$dir/service" --control "$dir/control" \
    --table "$dir/table" --workers 4
service=$started
wait_for has_open 4

controller_pid() {
    for pid in $(cat "/proc/$service/task/$service/children"); do
        case $(tr '\0' ' ' <"/proc/$pid/cmdline") in *controller*) echo "$pid" ;; esac
    done
}

# A kept connection, to see that open workers change over, too.
mkfifo "$dir/questions"
socat - "UNIX-CONNECT:$dir/service" <"$dir/questions" >"$dir/kept" 2>/dev/null &
pids="$pids $!"
exec 3>"$dir/questions"

version=1
round=0
while [ "$round" -lt 40 ]; do
    round=$((round + 1))
    case $((round % 8)) in
    2 | 6) kill -KILL "$(worker_pids | head -n 1)" ;;
    4) answer=$(ask "$dir/control" reload) && case $answer in ok*) ;; *) fail "reload: $answer" ;; esac ;;
    7)
        old=$(controller_pid)
        kill -KILL "$old"
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
kill -TERM "$service"
wait "$service" || fail "exit status $?"
echo "control: $round versions, none served late"
