#!/bin/sh
# container.sh DIR: what c-examples/Containerfile makes, without an engine: the echo
# example as process 1 of a pid namespace, in a root of its own, as nobody.
. "$(dirname "$0")/common.sh"

unshare --fork --pid --mount true 2>/dev/null || {
    echo 'skipped: no namespaces here (not root?)'
    exit 77
}

root=$dir/root
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/usr/local/bin"
chmod 1777 "$root/tmp"
chmod 755 "$dir"
cp "$bin/echo" "$root/usr/local/bin/"
for lib in $(ldd "$bin/echo" | grep -o '/[^ )]*'); do
    mkdir -p "$root$(dirname "$lib")"
    cp -L "$lib" "$root$lib"
done

start unshare --fork --kill-child --pid --mount sh -c '
    mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot --userspec=65534:65534 "$0" \
        /usr/local/bin/echo --listen unix:/tmp/service --workers 2 --log stderr \
            --pid-file /tmp/pid' "$root"
engine=$started
answers() { [ "$(printf 'hello\n' | socat -t 30 - "UNIX-CONNECT:$root/tmp/service")" = hello ]; }
wait_for answers
init=$(cat "/proc/$engine/task/$engine/children")
init=${init% }
grep -q "^NSpid:.*[[:space:]]1$" "/proc/$init/status" || fail 'it is not process 1'
grep -q "^Uid:[[:space:]]*65534" "/proc/$init/status" || fail 'it is not nobody'
[ "$(head -n 1 "$root/tmp/pid")" -eq 1 ] || fail 'the pid file does not name process 1'

# Orphans of others: as `podman exec` leaves them.
for i in 1 2 3 4 5; do
    nsenter --target "$init" --pid sh -c 'sleep 0.01 & sleep 0.02 &'
done
no_zombies() {
    for pid in $(cat "/proc/$init/task/$init/children"); do
        ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null || return 1
        ! grep -q '^Name:.*sleep' "/proc/$pid/status" 2>/dev/null || return 1
    done
}
wait_for no_zombies

# What `podman stop` sends.
kill -TERM "$init"
wait "$engine" || fail "exit status $?"
grep -q 'graceful shutdown begins' "$dir/log" || fail 'the end was not graceful'
[ ! -e "$root/tmp/service" ] && [ ! -e "$root/tmp/pid" ] || fail 'files are left behind'
echo 'container: process 1, nobody, orphans, TERM'
