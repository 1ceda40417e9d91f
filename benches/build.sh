#!/bin/sh
# build.sh: the library, the bench's servers and its load generator, to build/bench/.
set -eu
cd "$(dirname "$0")/.."
out=build/bench
mkdir -p $out
sh benches/tools.sh

cargo build --quiet --release --locked --lib
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
cp "$target/release/libdtm.so" $out/
ln -sf libdtm.so "$out/libdtm.so.$(sed -n 's/^#define DTM_ABI_VERSION //p' include/dtm.h)"

build() { # build NAME SOURCE... [FLAG...]
    name=$1
    shift
    cc -std=gnu11 -O2 -Wall -Wextra -Werror -Iinclude "$@" -o "$out/$name"
}
dtm="-L$out -ldtm -Wl,-rpath,\$ORIGIN"

build load benches/load/*.c
[ "$(uname -m)" != x86_64 ] || build cycles.so benches/probe/cycles.c -shared -fPIC
build raw benches/servers/raw.c
build dtm benches/servers/dtm.c $dtm
build actions benches/servers/actions.c $dtm
build echo c-examples/echo.c $dtm
for loop in uv:libuv event:libevent; do
    name=${loop%:*} package=${loop#*:}
    pkg-config --exists "$package" || continue
    flags=$(pkg-config --cflags --libs "$package")
    build "$name" "benches/servers/$name.c" $flags
    [ ! -f "c-examples/echo_$name.c" ] || build "echo_$name" "c-examples/echo_$name.c" $flags $dtm
done
if pkg-config --exists liburing; then
    build uring benches/servers/uring.c $(pkg-config --cflags --libs liburing)
    build uring_poll benches/servers/uring.c -DREADINESS $(pkg-config --cflags --libs liburing)
fi
[ ! -f c-examples/echo_epoll.c ] || build echo_epoll c-examples/echo_epoll.c $dtm
