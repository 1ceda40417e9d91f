#!/bin/sh
# header.sh CC: dtm.h is clean in every language a caller may use.
set -eu
cd "$(dirname "$0")/../.."
probe=tests/gates/header_probe.c
flags="-Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only"

for std in c99 gnu99 c11 gnu17; do
    echo "$1 -std=$std"
    "$1" -std=$std -x c $flags $probe
done
for std in c++11 c++17 gnu++20; do
    echo "$1 -std=$std"
    "$1" -std=$std -x c++ $flags $probe
done
