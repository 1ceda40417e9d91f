#!/bin/sh
# sh benches/run.sh [--quick] [--json] [--report] [--only PATTERN]
#
# libdtm beside nginx, HAProxy and servers written by hand: a table of figures with
# their goals. --json: one object a line; --quick: few rounds, under five minutes;
# --report: writes docs/performance.md as well; --only: scenarios whose name matches.
# Everything runs on loopback, in a network namespace of its own where that is
# allowed, and nothing is left behind.
set -eu
cd "$(dirname "$0")/.."
case " $* " in
*" --help "* | *" -h "*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
esac
sh benches/build.sh >&2

run="python3 -B benches/lib/main.py build/bench"
own="unshare --net --pid --fork --kill-child --mount-proc"
if $own true 2>/dev/null; then
    exec $own $run "$@"
fi
echo "bench: no network namespace of its own; on free ports of this machine" >&2
exec $run "$@"
