#!/bin/sh
# sh tests/examples/containerfile.sh: c-examples/Containerfile itself, built by buildah and run as
# process 1 of namespaces of its own. As root, by hand: it fetches a Debian 12 and builds libdtm
# anew, which takes some minutes. The two base images are made here, of Debian's packages and this
# machine's Rust and certificates, so no image registry is needed.
set -eu
cd "$(dirname "$0")/../.."
for tool in buildah mmdebstrap unshare nsenter cargo git; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is missing (Debian packages buildah, mmdebstrap, util-linux)"
        exit 77
    }
done
work=$(mktemp -d)
engine=
clean_up() {
    status=$?
    trap - EXIT
    [ -z "$engine" ] || kill -KILL "$engine" 2>/dev/null || :
    image umount --all >/dev/null 2>&1 || :
    rm -rf --one-file-system "$work"
    exit $status
}
trap clean_up EXIT
fail() {
    echo "containerfile: $*"
    tail -n 25 "$work/log"
    exit 1
}
# All that buildah keeps is in here.
image() {
    buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || fail "waited in vain for: $*"
        sleep 0.05
    done
}

echo 'making the base images ...'
mmdebstrap --quiet --variant=minbase bookworm "$work/slim.tar" >"$work/log" 2>&1 || fail 'no Debian to be had'
base=$(image from scratch)
image add "$base" "$work/slim.tar" / >>"$work/log"
image commit "$base" docker.io/library/debian:bookworm-slim >>"$work/log" 2>&1
mmdebstrap --quiet --variant=minbase --include=gcc,make,pkg-config,ca-certificates,libsqlite3-dev bookworm "$work/rust.tar" \
    >>"$work/log" 2>&1 || fail 'no Debian with a compiler to be had'
base=$(image from scratch)
image add "$base" "$work/rust.tar" / >>"$work/log"
sysroot=$(rustc --print sysroot)
for part in bin lib libexec; do
    [ ! -d "$sysroot/$part" ] || image add "$base" "$sysroot/$part" "/usr/local/$part" >>"$work/log"
done
# Crates are fetched as this machine fetches them.
image add "$base" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >>"$work/log"
image commit "$base" docker.io/library/rust:1-bookworm >>"$work/log" 2>&1

echo 'building c-examples/Containerfile ...'
mkdir "$work/src"
git archive HEAD | tar -x -C "$work/src"
image bud --isolation chroot --network host --pull-never -f "$work/src/c-examples/Containerfile" \
    -t dtm-echo "$work/src" >>"$work/log" 2>&1 || fail 'the image cannot be built'

# As an engine runs it: its entry point as its user, process 1, with a network of its own.
container=$(image from --pull-never dtm-echo)
root=$(image mount "$container")
inspect() { image inspect --format "$1" "$container"; }
[ "$(inspect '{{.OCIv1.Config.StopSignal}}')" = SIGTERM ] || fail 'another signal to stop'
entry=$(inspect '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}')
user=$(inspect '{{.OCIv1.Config.User}}')
unshare --fork --kill-child --pid --mount --net sh -c '
    ip link set lo up && mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" &&
        exec chroot --userspec="$1" "$0" $2' "$root" "$user" "$entry" >>"$work/log" 2>&1 &
engine=$!
init_pid() { cat "/proc/$engine/task/$engine/children"; }
answers() {
    init=$(init_pid) && [ -n "$init" ] &&
        [ "$(printf 'hello\n' | nsenter --target "${init% }" --net socat -t 30 - TCP4:127.0.0.1:7000)" = hello ]
}
wait_for answers
init=$(init_pid)
init=${init% }
grep -q "^NSpid:.*[[:space:]]1$" "/proc/$init/status" || fail 'it is not process 1'
grep -q "^Uid:[[:space:]]*65534" "/proc/$init/status" || fail 'it is not nobody'
kill -TERM "$init"
status=0
wait "$engine" || status=$?
engine=
[ $status -eq 0 ] || fail "exit status $status"
grep -q 'graceful shutdown begins' "$work/log" || fail 'the end was not graceful'
image umount "$container" >/dev/null
echo "containerfile: $(du -sm "$root" 2>/dev/null | cut -f 1) MB, built, answers as process 1 and nobody, ends on TERM"
