#!/bin/sh
# After "ok version N" no client is ever answered from an older table, while
# workers are killed or stopped, the service is reloaded and the controller dies.
# flow: C4, C5, C9, W2, W7, L11
. "$(dirname "$0")/common.sh"

# Workers take turns, so that a few connections see all of them.
printf '[dtm]\naccept_mode = shared\n' >"$dir/config"
start "$bin/control" --listen "unix:$dir/service" --control "$dir/control" \
    --table "$dir/table" --config "$dir/config" --workers 4
service=$started
wait_for has_open 4

# The child of the master that is no worker.
controller_pid() {
    status=$(ask "$dir/control" status)
    for pid in $(cat "/proc/$service/task/$service/children"); do
        echo "$status" | grep -q "^[0-9]* $pid " || echo "$pid"
    done
}

# Whoever asks now is served with this version or a newer one, by every worker.
version=1
check_version() {
    for question in 1 2 3 4 5 6 7 8; do
        answer=$(ask "$dir/service" users)
        [ "${answer%% *}" -ge "$version" ] || fail "round $round: $answer after version $version"
    done
}

push() {
    answer=$(ask "$dir/control" "route users 10.0.0.$round:3306")
    next=${answer#ok version }
    next=${next%% *}
    case $answer in ok*) ;; *) fail "round $round: $answer" ;; esac
    [ "$next" -gt "$version" ] || fail "version $next after $version"
    version=$next
    check_version
    [ "${answer#* }" = "10.0.0.$round:3306" ] || fail "round $round: $answer"
}

has_version() {
    answer=$(ask "$dir/service" users)
    [ "${answer%% *}" -ge "$1" ]
}

round=0
while [ "$round" -lt 40 ]; do
    round=$((round + 1))
    case $((round % 8)) in
    2 | 6) kill -KILL "$(worker_pids | head -n 1)" ;;
    4)
        answer=$(ask "$dir/control" reload)
        case $answer in ok*) ;; *) fail "reload: $answer" ;; esac
        ;;
    7) kill -KILL "$(controller_pid)" ;;
    esac
    # Half of the times the new process has to be up to date by itself ...
    if [ "$round" -lt 20 ]; then
        wait_for has_open 4
        check_version
    fi
    # ... and half of the times the next version comes in the middle of it.
    wait_for ask "$dir/control" status
    push
done

# There is no "ok" while one worker has not taken the new version.
wait_for has_open 4
slow=$(worker_pids | tail -n 1)
kill -STOP "$slow"
ask "$dir/control" "route users 10.0.0.99:3306" >"$dir/answer" &
asker=$!
wait_for has_version $((version + 1))
for question in 1 2 3 4 5 6 7 8 9 10; do
    [ ! -s "$dir/answer" ] || fail 'ok, although a stopped worker does not have the version'
    has_version "$version" || fail "$answer after version $version"
done
kill -CONT "$slow"
wait "$asker"
version=$((version + 1))
[ "$(cat "$dir/answer")" = "ok version $version is in force" ] || fail "$(cat "$dir/answer")"
check_version
[ "$(ask "$dir/service" nobody)" = "$version -" ] || fail 'an unknown key has no address'
[ "$(head -n 1 "$dir/table")" = "version $version" ] || fail 'the table is not what was saved'
stop "$service"
echo "control: $round versions, none served late"
