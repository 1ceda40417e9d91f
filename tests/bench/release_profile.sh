#!/bin/sh
# sh tests/bench/release_profile.sh: the release profile against its alternatives.
# For each: seconds to build the crate, bytes of the stripped library, and the
# CPU time of c-examples/echo for one answer to c-examples/load, kernel included.
# CPU time and the best of five rounds, since a busy machine bends answers per
# second more than any compiler option does.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -TERM "$server"; fi; rm -rf "$work"' EXIT
cmake -S . -B "$work/build" >/dev/null
cmake --build "$work/build" -j "$(nproc)" >/dev/null 2>&1

variant() { # variant NAME SETTING...
    name=$1
    shift
    options=
    for setting in "$@"; do
        options="$options --config profile.release.$setting"
    done
    cargo build -q --locked --release --lib --target-dir "$work/deps" $options
    touch src/lib.rs
    begin=$(date +%s%N)
    cargo build -q --locked --release --lib --target-dir "$work/deps" $options
    took=$((($(date +%s%N) - begin) / 100000000))
    mkdir -p "$work/lib/$name"
    strip -o "$work/lib/$name/libdtm.so.0" "$work/deps/release/libdtm.so"
    printf '%-14s %3s.%s s %8s bytes\n' "$name" $((took / 10)) $((took % 10)) \
        "$(wc -c <"$work/lib/$name/libdtm.so.0")"
}

cpu_per_answer() { # cpu_per_answer NAME: in microseconds
    # The program's RUNPATH yields to LD_LIBRARY_PATH.
    LD_LIBRARY_PATH=$work/lib/$1 "$work/build/c-examples/echo" --listen 127.0.0.1:0 \
        --workers 1 --log off >"$work/out" &
    server=$!
    until grep -q port "$work/out"; do sleep 0.05; done
    port=$(sed -n 's/.*port \([0-9]*\)$/\1/p' "$work/out")
    answered=$("$work/build/c-examples/load" --connect "127.0.0.1:$port" --seconds 4 \
        --clients 16 | sed -n 's/.*, \([0-9]*\) answered.*/\1/p')
    for pid in $(cat /proc/$server/task/$server/children); do
        cat "/proc/$pid/stat"
    done | awk -v n="$answered" -v hz="$(getconf CLK_TCK)" \
        '{ ticks += $14 + $15 } END { printf "%.2f\n", ticks / hz / n * 1e6 }'
    kill -TERM $server
    wait $server
    server=
}

variant as-committed
variant opt-2 opt-level=2
variant opt-s 'opt-level="s"'
variant thin-lto 'lto="thin"' codegen-units=16
variant no-lto 'lto="off"' codegen-units=16
for round in 1 2 3 4 5; do
    for name in as-committed opt-2 opt-s thin-lto no-lto; do
        cpu_per_answer $name >>"$work/$name.cpu"
    done
done
for name in as-committed opt-2 opt-s thin-lto no-lto; do
    printf '%-14s %s us of CPU time per answer\n' $name "$(sort -n "$work/$name.cpu" | head -1)"
done
