#!/bin/sh
# echo.sh DIR [PROGRAM]: an echo service gives every byte back, to stock clients, and
# obeys its operators.
. "$(dirname "$0")/common.sh"

program=${2:-echo}

six=''
[ ! -s /proc/net/if_inet6 ] || six=',[::1]:0'
start "$bin/$program" --listen "127.0.0.1:0$six,unix:$dir/service" --workers 2 \
    --control "$dir/control"
service=$started
wait_for has_open 2

# 20 MB of noise, far more than any socket buffer.
head -c 20000000 /dev/urandom >"$dir/noise"
port=$(sed -n 's/.*listening on 127.*port \([0-9]*\)$/\1/p' "$dir/log")
port6=$(sed -n 's/.*listening on \[::1\].*port \([0-9]*\)$/\1/p' "$dir/log")
for address in "TCP4:127.0.0.1:$port" ${six:+"TCP6:[::1]:$port6"} "UNIX-CONNECT:$dir/service"; do
    socat -t 30 - "$address" <"$dir/noise" >"$dir/echoed"
    cmp "$dir/noise" "$dir/echoed" || fail "$address: not what was sent"
done

must() {
    answer=$(ask "$dir/control" "$*")
    case $answer in ok*) ;; *) fail "$*: $answer" ;; esac
}
must scale 4
wait_for has_open 4
must scale 2
wait_for has_open 2
must reload
wait_for has_open 2
must stop
[ "$(open_workers || :)" -eq 0 ] || fail 'workers after stop'
must start
wait_for has_open 2
must nofork 5000
must fork
case $(ask "$dir/control" nonsense) in error*) ;; *) fail 'nonsense was accepted' ;; esac
[ "$(printf 'status\nloadconf\n' | socat -t 30 - "UNIX-CONNECT:$dir/control" | grep -c ^ok)" -eq 2 ] ||
    fail 'two commands in one go'
case $(ask "$dir/control" shutdown) in ok*) ;; *) fail 'shutdown' ;; esac
wait "$service" || fail "exit status $?"
[ ! -e "$dir/control" ] && [ ! -e "$dir/service" ] || fail 'socket files are left behind'
echo "$program: every byte, every command"
