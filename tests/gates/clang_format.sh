#!/bin/sh
# Every C file in the style of .clang-format. include/dtm.h and what it is made
# of are cbindgen's to format.
cd "$(dirname "$0")/../.." || exit 1
find c-examples benches tests docs -name '*.c' -o -name '*.cpp' -o -name '*.h' | sort |
    xargs clang-format --dry-run -Werror
