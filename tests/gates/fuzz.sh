#!/bin/sh
# fuzz.sh [TARGET_DIR [SECONDS [SEED]]]: each target of tests/fuzz for so long (20 s), from its
# seeds and from what earlier runs found new. With a SEED from its seeds alone, with the same
# inputs each time, and no more than RUNS: what fails then does so because of a change, not of luck.
# It is libFuzzer, led by coverage, with nothing but stable Rust: instrumentation is a matter
# of LLVM. Address sanitizing would need more, and has nothing to find in parsers without
# `unsafe`. A finding is named: run the target with its file to see it again, then keep it in
# tests/fuzz/seeds/TARGET.
set -eu
cd "$(dirname "$0")/../.."
to=${1:-target/fuzz}
seconds=${2:-20}
seed=${3:-0}
RUNS=200000
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
# With --target the flags are not those of build scripts.
cargo build --quiet --locked --manifest-path tests/fuzz/Cargo.toml --target "$host" --target-dir "$to"
failed=0
for target in tests/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    corpus=$to/corpus/$name
    runs=-1
    if [ "$seed" != 0 ]; then
        corpus=$to/same/$name
        runs=$RUNS
        rm -rf "$corpus"
    fi
    mkdir -p "$corpus" "$to/findings/$name"
    if "$to/$host/debug/$name" -seed="$seed" -runs="$runs" -max_total_time="$seconds" -reload=0 \
        -timeout=5 -rss_limit_mb=512 -max_len=4096 -dict=tests/fuzz/words.dict \
        -artifact_prefix="$to/findings/$name/" \
        "$corpus" "tests/fuzz/seeds/$name" >"$to/$name.log" 2>&1; then
        # "#123456 DONE cov: 321 ft: 1234 corp: 99/4567b ..."
        echo "ok $name: $(sed -n 's/^#\([0-9]*\)\tDONE *cov: \([0-9]*\).*/\1 inputs, \2 edges/p' "$to/$name.log")"
    else
        tail -n 30 "$to/$name.log"
        echo "FAIL $name: see $to/findings/$name"
        failed=1
    fi
done
exit $failed
