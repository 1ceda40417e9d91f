#!/bin/sh
# service.sh DIR [PROGRAM [ACCEPT_MODE]]: an echo service, in whatever event loop
# it lives, is reloaded, loses workers, drains and spreads its clients, under load.
# A mode that cannot be had here is skipped: exit status 77.
# flow: W4, L15
. "$(dirname "$0")/common.sh"

program=${2:-echo} mode=${3:-auto}
clients=40 # of the load; half of them connect anew for each request

printf '[dtm]\naccept_mode = %s\n' "$mode" >"$dir/config"
start "$bin/$program" --listen "127.0.0.1:0,unix:$dir/service" --workers 4 --control "$dir/control" \
    --config "$dir/config"
service=$started

ready() {
    has_open 4 && return
    kill -0 "$service" && return 1
    [ "$mode" != auto ] && [ "$mode" != token ] && grep accept_mode "$dir/log" >"$dir/refused"
}
wait_for ready
if [ -e "$dir/refused" ]; then
    echo "$program: skipped: $(tail -n 1 "$dir/refused")"
    exit 77
fi
address=127.0.0.1:$(sed -n 's/.*on 127.*port \([0-9]*\)$/\1/p' "$dir/log")

must() {
    answer=$(ask "$dir/control" "$*")
    case $answer in ok*) ;; *) fail "$*: $answer" ;; esac
}

clients_open() { ask "$dir/control" status | awk '{ sum += $5 } END { print sum }'; }
has_clients() { [ "$(clients_open)" -eq "$1" ]; }
has_at_least() { [ "$(clients_open)" -ge "$1" ]; }

load() {
    "$bin/load" --connect "$address" --seconds 60 "$@" >"$dir/load" 2>&1 &
    load=$!
    pids="$load $pids"
}
# What became of the requests, as the load tells: "N answered", "N lost", ...
count() { sed -n "s/.*[ (]\([0-9]*\) $1[,) ].*/\1/p" "$dir/load"; }
end_load() {
    kill -TERM "$load" 2>/dev/null || :
    wait "$load" || :
    [ "$(count answered)" -gt 0 ] || fail "the load: $(cat "$dir/load")"
}
lost_nothing() { [ "$(count lost)" -eq 0 ] || fail "$1: $(cat "$dir/load")"; }

# Clients that stay are spread evenly, where the mode looks at the load.
even() {
    ask "$dir/control" status | awk '$4 == "open" { print $5 }' | sort -n >"$dir/shares"
    [ "$(($(tail -n 1 "$dir/shares") - $(head -n 1 "$dir/shares")))" -le 2 ]
}
# A worker that the machine did not let run for a moment was given none meanwhile: the
# next ones are for it.
more=''
settles() {
    extra=0
    until even; do
        extra=$((extra + 20))
        [ $extra -le 400 ] || return 1
        "$bin/load" --connect "$address" --seconds 60 --hold --clients 20 >"$dir/more" 2>&1 &
        more="$! $more"
        pids="$! $pids"
        wait_for has_clients $((200 + extra))
    done
}
load --hold --clients 200
wait_for has_clients 200
case $mode in
hash | shared | lock) ;;
*) settles || fail "shares: $(tr '\n' ' ' <"$dir/shares")" ;;
esac
for pid in $more; do
    kill -TERM "$pid" 2>/dev/null || :
    wait "$pid" || :
done
end_load
lost_nothing 'long-lived clients'

# Reloads lose no request. With a second old generation, a reload ends the drain of the first.
few_drain() {
    [ "$(ask "$dir/control" status | awk '$4 == "draining" { print $3 }' | sort -u | wc -l)" -le 1 ]
}
load --clients $clients
wait_for has_at_least $((clients / 2))
for reload in 1 2 3 4 5 6 7 8 9 10; do
    must reload
    wait_for few_drain
done
end_load
lost_nothing 'reload'

# What a killed worker takes along is its own clients' requests. Nobody else's is
# lost, refused or stuck, and its successor serves.
load --clients $clients
wait_for has_at_least $((clients / 2))
for victim in $(worker_pids); do
    kill -KILL "$victim"
    replaced() { [ "$(worker_pids | grep -cvx "$victim")" -eq 4 ]; }
    wait_for replaced
done
end_load
[ "$(count lost)" -eq "$(count reset)" ] && [ "$(count lost)" -le $((4 * clients)) ] ||
    fail "kill -9: $(cat "$dir/load")"
load --clients $clients
wait_for has_at_least $((clients / 2))
end_load
lost_nothing 'after kill -9'

one_drains() {
    ask "$dir/control" status | grep -q ' draining 1$'
}

# A drain closes a client that has nothing to say, and finishes with one that has
# sent a little more than there is room for its answers, which it does not read yet.
mkfifo "$dir/words"
exec 3<>"$dir/words"
socat -t 0 - "UNIX-CONNECT:$dir/service" <"$dir/words" >"$dir/heard" &
idle=$!
head -c $(($(cat /proc/sys/net/core/wmem_default) * 8 / 7)) /dev/urandom >"$dir/noise"
cat >"$dir/slow" <<END
cat "$dir/noise"
touch "$dir/sent"
until [ -e "$dir/go" ]; do sleep 0.05; done
head -c $(wc -c <"$dir/noise") >"$dir/echoed"
END
socat "UNIX-CONNECT:$dir/service" "EXEC:sh $dir/slow,nofork" &
busy=$!
pids="$idle $busy $pids"
echo hello >&3
wait_for grep -x hello "$dir/heard"
wait_for test -e "$dir/sent"
ask "$dir/control" reload >"$dir/answer" &
asker=$!
wait "$idle" || fail "the idle client: $?"
exec 3>&-
# The idle one's worker leaves a moment later than its client.
wait_for one_drains
touch "$dir/go"
wait "$busy" || fail "the busy client: $?"
cmp "$dir/noise" "$dir/echoed" || fail 'the busy client did not get all'
wait "$asker"
grep -q '^ok' "$dir/answer" || fail "reload: $(cat "$dir/answer")"

stop "$service"
echo "$program, $mode: $(sed -n 's/.*the service has ended: //p' "$dir/log")"
