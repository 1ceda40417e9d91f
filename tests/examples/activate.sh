#!/bin/sh
# activate.sh DIR: started by systemd-socket-activate, the real one, at the first connection:
# with sockets found by address and by name, TCP and Unix.
. "$(dirname "$0")/common.sh"

command -v systemd-socket-activate >/dev/null || {
    echo 'skipped: systemd-socket-activate is missing (Debian package systemd)'
    exit 77
}

echoes() { [ "$(printf 'hello\n' | socat -t 10 - "$1")" = hello ]; }
refused() { ! socat -u OPEN:/dev/null "TCP4:127.0.0.1:$port" 2>/dev/null; }

# A port of ours: systemd-socket-activate does not say which one it was given.
port=$((20000 + $$ % 12000)) # below those that clients are given
while ! refused; do
    port=$((port + 1))
done

start systemd-socket-activate -l "127.0.0.1:$port" -l "$dir/service" \
    "$bin/echo" --listen "127.0.0.1:$port,unix:$dir/service" --workers 2 --control "$dir/control"
service=$started
wait_for test -S "$dir/service"
[ ! -e "$dir/control" ] || fail 'it was started too early'
echoes "TCP4:127.0.0.1:$port" || fail 'the client that started it'
wait_for has_open 2
echoes "UNIX-CONNECT:$dir/service" || fail 'the other socket'
for _ in 1 2 3; do
    case $(ask "$dir/control" reload) in ok*) ;; *) fail 'reload' ;; esac
    echoes "TCP4:127.0.0.1:$port" || fail 'after a reload'
done
# It is the same process, and its parent made the file: that one stays.
stop "$service"
[ -S "$dir/service" ] || fail "removed systemd's file"
rm "$dir/service"

start systemd-socket-activate -l "127.0.0.1:$port" --fdname=web \
    "$bin/echo" --listen systemd:web --workers 2 --control "$dir/control"
service=$started
wait_for echoes "TCP4:127.0.0.1:$port"
wait_for has_open 2
stop "$service"

# What was passed is not what was asked for.
start systemd-socket-activate -l "127.0.0.1:$port" --fdname=web \
    "$bin/echo" --listen systemd:ftp --workers 2
service=$started
tries=0
until grep -q 'there are: web' "$dir/log"; do
    socat -u OPEN:/dev/null "TCP4:127.0.0.1:$port" 2>/dev/null || :
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail 'no word of what was passed'
    sleep 0.05
done
! wait "$service" || fail 'it started without its socket'
echo 'activate: by address and by name, TCP and Unix'
