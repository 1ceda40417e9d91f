#!/bin/sh
# figures.sh BUILD: the figures of README.md, from a release build made with
# cmake -S . -B BUILD -DCMAKE_BUILD_TYPE=Release && cmake --build BUILD
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
server=''

clean_up() {
    [ -z "$server" ] || kill -INT "$server" 2>/dev/null || :
    rm -rf "$dir"
}
trap clean_up EXIT

start() { # start WORKERS PROGRAM [ARGUMENT...]: until all of them are open
    workers=$1
    shift
    : >"$dir/log"
    LIBDTM_LOG="info,file:$dir/log" "$@" >"$dir/out" 2>&1 &
    server=$!
    until [ "$(grep -c 'open for business' "$dir/log")" -eq "$workers" ]; do
        kill -0 "$server" 2>/dev/null || { cat "$dir/out" && exit 1; }
        sleep 0.1
    done
}

stop() {
    kill -TERM "$server"
    wait "$server"
    server=''
}

strip -o "$dir/libdtm.so" "$build/lib/libdtm.so"
echo "libdtm.so, stripped: $(stat -c %s "$dir/libdtm.so") bytes; it needs" \
    "$(readelf -d "$dir/libdtm.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | tr '\n' ' ')"

start 190 "$build/c-examples/echo" --listen "unix:$dir/echo" --workers 190
echo "190 workers, from the start to the last gate:" \
    "$(sed -n '1p;$p' "$dir/log" | sed 's/.*T..:\(..\):\([0-9.]*\)Z.*/\1 \2/' |
        awk '{ s = $1 * 60 + $2 } NR == 1 { first = s } END { printf "%.2f", s - first + (s < first) * 3600 }') s"
stop

# The README's program keeps nothing per client.
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' README.md >"$dir/who.c"
cc -Iinclude "$dir/who.c" -o "$dir/who" "-L$build/lib" -ldtm "-Wl,-rpath,$(cd "$build/lib" && pwd)"
start "$(nproc)" "$dir/who" "unix:$dir/who.socket"
workers=$(sed -n 's/.*worker .* pid \([0-9]*\) .*open for business/\1/p' "$dir/log")
python3 - "$dir/who.socket" $workers <<'END'
import os, resource, socket, sys

path, *workers = sys.argv[1:]
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
clients = []

def connect(n):
    for _ in range(n):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.send(b"x")
        assert client.recv(100)
        clients.append(client)

def private(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty"))

def memory():
    return sum(map(private, workers))

connect(100)
before = memory()
n = min(5000, limit // 2)
connect(n)
used = (memory() - before) * 1024 // n
print(f"memory of the workers per idle client: {used} bytes")
END
stop
