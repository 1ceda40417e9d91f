#!/bin/sh
# instructions.sh LIBRARY_DIR [BUDGET]: how many instructions of libdtm's own a client's
# step costs. Counted by callgrind in the worker of c-examples/echo.c: what lies in
# libdtm.so, so neither the service, nor libc, nor the kernel. The difference of two
# runs, in which start and end cancel out. Above BUDGET (150) it fails.
set -eu
cd "$(dirname "$0")/../.."
lib=$(cd "$1" && pwd)
budget=${2:-150}
dir=$(mktemp -d)
pid=''

clean_up() {
    status=$?
    trap - EXIT
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || :
    [ "$status" -eq 0 ] || [ ! -s "$dir/log" ] || tail -n 40 "$dir/log" >&2
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# count CLIENT_ARGUMENT...: runs the service for one client; prints what libdtm.so executed.
count() {
    rm -f "$dir"/cost.*
    : >"$dir/out"
    valgrind --tool=callgrind --callgrind-out-file="$dir/cost.%p" "$dir/echo" \
        --workers 1 --listen 127.0.0.1:0 >"$dir/out" 2>"$dir/log" &
    pid=$!
    tries=0
    until port=$(sed -n 's/.* port //p' "$dir/out") && [ -n "$port" ]; do
        kill -0 "$pid" 2>/dev/null || fail "the service ended at its start"
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "the service does not listen"
        sleep 0.1
    done
    timeout 120 "$dir/client" "$port" "$@" || fail "the client could not do its work"
    kill -TERM "$pid"
    wait "$pid" || fail "exit status $?"
    pid=''
    # Names are said once: "ob=(3) /path/libdtm.so", later "ob=(3)"; "cob=" is the object
    # of a function that is called, and the line behind "calls=" is that one's cost.
    awk '
        /^c?ob=/ {
            id = $1
            sub(/^c?ob=/, "", id)
            if (NF > 1)
                ours[id] = $2 ~ /\/libdtm\.so/
            if (/^ob=/)
                counts = ours[id]
        }
        /^calls=/ { getline; next }
        /^[0-9+*-]/ && counts { sum += $2 }
        END { print sum + 0 }' "$(grep -l client_step "$dir"/cost.*)"
}

# per_round CONNECTIONS ROUNDS [anew]: the cost of one request, two decimals.
per_round() {
    connections=$1 rounds=$2
    shift 2
    few=$(count "$connections" "$rounds" "$@")
    many=$(count "$connections" $((rounds * 2)) "$@")
    echo "$few $many $((connections * rounds))" | awk '{ printf "%.1f\n", ($2 - $1) / $3 }'
}

ln -s "$lib/libdtm.so" "$dir/libdtm.so"
ln -s libdtm.so "$dir/libdtm.so.0"
# valgrind does not extend the stack for a handler with SA_ONSTACK: so it is touched before.
cat >"$dir/stack.c" <<'EOF'
__attribute__((constructor)) static void touch(void)
{
    volatile char room[1 << 18];

    for (unsigned i = 0; i < sizeof room; i += 1024)
        room[i] = 0;
}
EOF
gcc -O2 -Iinclude -Ic-examples c-examples/echo.c "$dir/stack.c" -o "$dir/echo" -L"$dir" -ldtm \
    -Wl,-rpath,"$dir"
gcc -O2 -Wall -Wextra -Werror tests/gates/instructions.c -o "$dir/client"

# One step a pass is the dear case: what a pass costs is shared by nobody.
step=$(per_round 1 10000)
echo "library instructions per step: $step"
echo "library instructions per step, 32 ready at once: $(per_round 32 500)"
echo "library instructions per connection with one request: $(per_round 1 2000 anew)"
echo "$step $budget" | awk '{ exit $1 > $2 }' || fail "more than $budget instructions per step"
