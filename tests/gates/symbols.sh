#!/bin/sh
# symbols.sh LIBRARY: what it exports == cmake/libdtm.symbols == the functions of dtm.h.
set -eu
cd "$(dirname "$0")/../.."
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

sort cmake/libdtm.symbols >"$work/list"
grep -A1 '^DTM_API' include/dtm.h | grep -o '\<dtm_[a-z0-9_]*(' | tr -d '(' | sort >"$work/header"

# readelf, not nm: nm leaves names out where LLVM's plugin is installed.
case $1 in
*.so) readelf --wide --dyn-syms "$1" ;;
*) readelf --wide --syms "$1" ;;
esac | awk '$5 ~ /GLOBAL|WEAK|UNIQUE/ && $7 != "UND" && NF >= 8 { sub(/@.*/, "", $8); print $8 }' |
    sort >"$work/library"

echo "dtm.h against cmake/libdtm.symbols:"
diff "$work/header" "$work/list"
echo "$1 against cmake/libdtm.symbols:"
diff "$work/library" "$work/list"

case $1 in
*.so)
    abi=$(sed -n 's/^#define DTM_ABI_VERSION //p' include/dtm.h)
    soname=$(readelf --wide -d "$1" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
    echo "SONAME $soname, DTM_ABI_VERSION $abi"
    [ "$soname" = "libdtm.so.$abi" ]
    ;;
esac
