#!/bin/sh
# readme.sh LIBRARY_DIR: the programs of the documents compile without a warning
# and do what the documents say. The README's first ```c block is a program.
set -eu
cd "$(dirname "$0")/../.."
lib=$(cd "$1" && pwd)
dir=$(mktemp -d)
pid=''

clean_up() {
    status=$?
    trap - EXIT
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || :
    [ "$status" -eq 0 ] || [ ! -s "$dir/log" ] || tail -n 40 "$dir/log"
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

compile() { # compile SOURCE PROGRAM [OPTION...]
    source=$1 program=$2
    shift 2
    gcc -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude "$source" -o "$program" "$@"
}

start() { # start PROGRAM ARGUMENT
    : >"$dir/out"
    "$@" >"$dir/out" 2>"$dir/log" &
    pid=$!
}

wait_for() { # wait_for COMMAND...: until it succeeds, for at most 20 s
    tries=0
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "it ended, before: $*"
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

stop() {
    kill -TERM "$pid"
    wait "$pid" || fail "exit status $?"
    pid=''
}

use="-L$lib -ldtm -Wl,-rpath,$lib"

echo 'README.md: the program'
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' README.md >"$dir/readme.c"
compile "$dir/readme.c" "$dir/readme" $use
from_generation() { echo hello | timeout 20 nc -N -U "$dir/socket" | grep -x "worker [0-9]*, generation $1"; }
start "$dir/readme" "unix:$dir/socket"
wait_for from_generation 1
kill -HUP "$pid"
wait_for from_generation 2
stop

echo 'docs/porting: before and after'
compile docs/porting/before.c "$dir/before"
compile docs/porting/after.c "$dir/after" $use
for program in before after; do
    start "$dir/$program" 0
    wait_for grep '^port ' "$dir/out"
    port=$(sed -n 's/^port //p' "$dir/out")
    [ "$(echo hello | timeout 20 nc -N 127.0.0.1 "$port")" = hello ] || fail "$program does not echo"
    stop
done

echo 'every file that the documents name exists'
for document in README.md CHANGELOG.md docs/*.md; do
    for file in $(grep -o '`[A-Za-z0-9_.-]*/[A-Za-z0-9_./-]*`\|](\([A-Za-z0-9_./-]*\))' "$document" |
        sed 's/^`//; s/`$//; s/^](//; s/)$//' | sort -u); do
        case $file in /* | build/* | target/*) continue ;; esac
        [ -e "$file" ] || [ -e "$(dirname "$document")/$file" ] || fail "$document: no such file: $file"
    done
done
