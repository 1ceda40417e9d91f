#!/bin/sh
# daemon.sh DIR: an example as a daemon: check, background, pid file, signals by name.
. "$(dirname "$0")/common.sh"

service() {
    "$bin/echo" --listen "unix:$dir/service" --control "$dir/control" --workers 2 \
        --pid-file "$dir/pid" --log "file:$dir/log" "$@"
}

# must TEXT COMMAND...: succeeds, and says so.
must() {
    text=$1
    shift
    out=$("$@" 2>&1) || fail "$*: $out"
    case $out in *"$text"*) ;; *) fail "$*: $out" ;; esac
}

must_fail() {
    text=$1
    shift
    ! out=$("$@" 2>&1) || fail "$* succeeded: $out"
    case $out in *"$text"*) ;; *) fail "$*: $out" ;; esac
}

must 'the configuration is good' service -t
must_fail 'user = nobody-here: must be' service -t --user nobody-here
must_fail 'No such file' service -s ping
[ ! -e "$dir/pid" ] && [ ! -e "$dir/service" ] || fail 'a check leaves something behind'

# When it returns, it serves.
must '' service --daemonize
master=$(head -n 1 "$dir/pid")
[ "$(printf 'hello\n' | socat -t 30 - "UNIX-CONNECT:$dir/service")" = hello ] || fail 'no echo'
must "pid $master" service -s ping
must 'the configuration is good' service -t
must_fail 'runs already' "$bin/echo" --listen "unix:$dir/other" --pid-file "$dir/pid" --log off
must_fail 'runs already' "$bin/echo" --listen "unix:$dir/other" --pid-file "$dir/pid" --log off --daemonize
must_fail 'must be quit, stop' service -s nonsense

mv "$dir/log" "$dir/log.1"
must "pid $master" service -s reopen
must "pid $master" service -s reload
tries=0
until grep -q 'generation 2 serves' "$dir/log" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || fail 'no reload'
    sleep 0.05
done
must "pid $master" service -s quit
tries=0
while [ -e "$dir/pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || fail 'it does not end'
    sleep 0.05
done
must_fail 'No such file' service -s quit

printf 'daemon: background, pid file, signals\n'
