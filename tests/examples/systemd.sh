#!/bin/sh
# sh tests/examples/systemd.sh [BUILD]: c-examples/dtm.service under the real thing. As root, by
# hand: it fetches a Debian 13 of 160 MB (its systemd knows notify-reload), boots it as process 1 of
# namespaces of its own, and there starts, reloads, upgrades, kills and stops the echo example.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(cd "${1:-build}" && pwd) || exit 1
for tool in mmdebstrap unshare nsenter pivot_root; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is missing (Debian packages mmdebstrap, util-linux)"
        exit 77
    }
done
work=$(mktemp -d)
root=$work/root
manager=
clean_up() {
    [ -z "$manager" ] || kill -KILL "$manager"
    sleep 1
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
fail() {
    echo "systemd: $*"
    inside journalctl -u dtm-echo --no-pager | tail -n 20
    exit 1
}

echo 'fetching Debian 13 ...'
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,libsqlite3-0,netcat-openbsd \
    trixie "$root" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log"
    exit 1
}
cp -a "$build"/lib/libdtm.so* "$root/usr/local/lib/"
cp "$build/c-examples/echo" "$root/usr/local/bin/echo"
cp c-examples/dtm.service "$root/etc/systemd/system/dtm-echo.service"
chroot "$root" ldconfig
mkdir "$root/old" "$work/cgroup"

cat >"$work/boot" <<'BOOT'
root=$1/root
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys" -o ro
mount -t cgroup2 none "$1/cgroup" && mkdir -p "$1/cgroup/dtm-test" && echo $$ >"$1/cgroup/dtm-test/cgroup.procs"
exec unshare --cgroup sh -c '
    mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$0/run"
    mount -t tmpfs -o mode=755 tmpfs "$0/dev"
    cd "$0/dev"
    for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
        mknod -m 666 ${node% *} c 1 ${node#* }
    done
    mknod -m 666 tty c 5 0
    mkdir pts shm mqueue
    mount -t devpts -o ptmxmode=666,newinstance devpts pts
    ln -s pts/ptmx ptmx
    ln -s /proc/self/fd fd
    cd "$0"
    pivot_root . old
    umount -l /old
    mount --make-rshared /
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
' "$root"
BOOT
unshare --mount --pid --fork --uts --ipc --net sh "$work/boot" "$work" >"$work/log" 2>&1 &
boot=$!
inside() {
    nsenter -t "$manager" -m -p -u -i -n -C -r -w env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
wait_for() { # 20 s
    for _ in $(seq 200); do
        ! "$@" 2>/dev/null || return 0
        sleep 0.1
    done
    fail "waited in vain for: $*"
}
has_begun() { manager=$(cat "/proc/$boot/task/$boot/children") && manager=${manager% } && [ -n "$manager" ]; }
is_up() { inside systemctl is-active dbus.service >/dev/null 2>&1 || inside systemctl start dbus.socket; }
show() { inside systemctl show dtm-echo --value -p "$1"; }
serves() { [ "$(printf 'hello\n' | inside nc -N -w 2 127.0.0.1 7000)" = hello ]; }
is_another() { [ "$(show MainPID)" -ne "$1" ] && [ "$(show MainPID)" -ne 0 ] && [ "$(show ActiveState)" = active ]; }
wait_for has_begun
wait_for is_up
inside ip link set lo up 2>/dev/null || nsenter -t "$manager" -n ip link set lo up

inside systemctl start dtm-echo || fail 'start'
serves || fail 'it does not serve'
[ "$(show NFileDescriptorStore)" -eq 2 ] || fail 'its listeners are not kept'
inside systemctl reload dtm-echo || fail 'reload'
show StatusText | grep -q 'generation 2' || fail 'no generation 2 after the reload'
serves || fail 'it does not serve after the reload'

first=$(show MainPID)
inside systemctl kill --kill-whom=main -s USR2 dtm-echo
wait_for is_another "$first"
serves || fail 'it does not serve after the upgrade'
inside systemctl reload dtm-echo || fail 'reload after the upgrade'
[ "$(show NRestarts)" -eq 0 ] || fail 'systemd has restarted it'

second=$(show MainPID)
inside systemctl kill --kill-whom=main -s KILL dtm-echo
wait_for is_another "$second"
[ "$(show NRestarts)" -eq 1 ] || fail 'systemd has not restarted it'
serves || fail 'it does not serve after the crash'
[ "$(show NFileDescriptorStore)" -eq 2 ] || fail 'what is kept has changed with the crash'
! inside journalctl -u dtm-echo --no-pager | grep ' error: ' || fail 'errors in the log'

inside systemctl stop dtm-echo || fail 'stop'
[ "$(show Result)" = success ] || fail "result $(show Result)"
echo "systemd: $(inside systemctl --version | head -n 1): start, reload, upgrade, crash, stop"
