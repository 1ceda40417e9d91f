#!/bin/sh
# run.sh HOW WORK CARGO_TARGET_DIR: build a program that uses libdtm in one of
# the ways a C project may, and run it.
set -eu
how=$1 work=$2 cargo=$3
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=$work/prefix
# A multiarch library directory: relative paths must not count on "lib".
libdir=lib/$(gcc -dumpmachine)
rm -rf "${work:?}/$how"
mkdir -p "$work/$how"

install_libdtm() {
    cmake -S "$root" -B "$work/build" "-DDTM_CARGO_TARGET_DIR=$cargo" \
        -DDTM_BUILD_EXAMPLES=OFF "-DCMAKE_INSTALL_LIBDIR=$libdir"
    cmake --build "$work/build"
    rm -rf "$prefix" "$prefix-moved"
    cmake --install "$work/build" --prefix "$prefix-moved"
    # The prefix may be moved after the installation.
    mv "$prefix-moved" "$prefix"
    PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
    export PKG_CONFIG_PATH
}

with_cmake() { # with_cmake OPTION...
    cmake -S "$here/$how" -B "$work/$how" "$@"
    cmake --build "$work/$how"
    "$work/$how/consumer-dtm"
    "$work/$how/consumer-static"
    # The loader finds it by SONAME, and the archive needs no loader at all.
    readelf -d "$work/$how/consumer-dtm" | grep -q 'NEEDED.*\[libdtm\.so\.[0-9]*\]'
    if readelf -d "$work/$how/consumer-static" | grep NEEDED | grep libdtm; then
        echo "consumer-static needs libdtm.so"
        return 1
    fi
}

case $how in
add_subdirectory | fetchcontent)
    with_cmake "-DDTM_SOURCE=$root" "-DDTM_CARGO_TARGET_DIR=$cargo"
    ;;
find_package)
    install_libdtm
    with_cmake "-DCMAKE_PREFIX_PATH=$prefix"
    ;;
pkgconfig)
    install_libdtm
    gcc "$here/consumer.c" $(pkg-config --cflags --libs dtm) -o "$work/$how/consumer"
    LD_LIBRARY_PATH=$prefix/$libdir "$work/$how/consumer"
    ;;
pkgconfig_static)
    install_libdtm
    gcc "$here/consumer.c" $(pkg-config --cflags --libs dtm-static) -o "$work/$how/consumer"
    "$work/$how/consumer"
    ;;
two_rust)
    install_libdtm
    rustc --edition 2024 -O --crate-type staticlib -C panic=unwind \
        -o "$work/$how/libother.a" "$here/two_rust/other.rs"
    gcc "$here/two_rust/main.c" "$work/$how/libother.a" \
        $(pkg-config --cflags --libs dtm-static) -o "$work/$how/consumer"
    "$work/$how/consumer"
    # The other order, too: which archive comes first must not matter.
    gcc "$here/two_rust/main.c" $(pkg-config --cflags --libs dtm-static) \
        "$work/$how/libother.a" $(pkg-config --libs dtm-static) -o "$work/$how/consumer"
    "$work/$how/consumer"
    ;;
*)
    echo "no such consumer: $how"
    exit 2
    ;;
esac
