#!/bin/sh
# The system libraries that a static user links are those that rustc names.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
: >"$work/empty.rs"
asked=$(rustc --crate-type staticlib --print native-static-libs -o "$work/empty.a" \
    "$work/empty.rs" 2>&1 | sed -n 's/.*native-static-libs: //p' | sed 's/-l//g')
given=$(sed -n 's/^set(DTM_STATIC_LIBS \(.*\))$/\1/p' cmake/DtmCargo.cmake)
echo "rustc asks for: $asked"
echo "we link:        $given"
[ "$asked" = "$given" ]
