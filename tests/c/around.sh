#!/bin/sh
# sh around.sh WHAT PROGRAM [CASE...]: a test program in odd surroundings. 77: not to be had here.
set -u
what=$1
shift

skip() {
    echo "skipped: $*"
    exit 77
}

case $what in
eintr) # C01: in each process of the service a signal every 200 us, without SA_RESTART
    LD_PRELOAD=$DTM_EINTR exec "$@"
    ;;
jumps) # C10: the wall clock jumps by an hour, to and fro, all the time
    faketime=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -n 1)
    [ -n "$faketime" ] || skip "libfaketime is missing"
    clock=$(mktemp)
    echo +0 >"$clock"
    # Where it fakes the times of files it takes a lock that nobody gives back for the dead.
    export NO_FAKE_STAT=1
    LD_PRELOAD=$faketime FAKETIME_TIMESTAMP_FILE=$clock FAKETIME_NO_CACHE=1 \
        FAKETIME_DONT_FAKE_MONOTONIC=1 "$@" &
    program=$!
    while kill -0 $program 2>/dev/null; do
        for time in +3600 -3600; do
            echo $time >"$clock.new" && mv "$clock.new" "$clock"
            sleep 0.05
        done
    done
    wait $program
    status=$?
    rm -f "$clock"
    exit $status
    ;;
later) # C10: the machine has been up for 28 hours longer than it was
    unshare -T --fork --monotonic 100800 --boottime 100800 true 2>/dev/null || skip "no time namespaces here"
    exec unshare -T --fork --monotonic 100800 --boottime 100800 "$@"
    ;;
hardened) # C17: no new privileges, a stack of 256 KiB, no ASLR, memory that is never zero
    setpriv --no-new-privs true 2>/dev/null || skip "setpriv of util-linux is missing"
    ulimit -s 256 || exit 1
    MALLOC_PERTURB_=165 exec setpriv --no-new-privs setarch -R "$@"
    ;;
*)
    echo "$0: $what?" >&2
    exit 2
    ;;
esac
