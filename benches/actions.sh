#!/bin/sh
# sh benches/actions.sh DIR   what a pass of the controller costs with no action, and with
# 10,000 that wait. DIR: a build tree with tests (-DDTM_BUILD_TESTS=ON).
set -eu
for round in 1 2 3; do
    "${1:?a build tree with tests}/tests/c/t_actions_many" '10,000 that wait' |
        sed -n "s/^# a pass/round $round: a pass/p"
done
