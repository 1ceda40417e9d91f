#!/bin/sh
# fuzz.sh [TARGET_DIR [SECONDS]]: each target of tests/fuzz for so long (20 s), from its seeds.
# It is libFuzzer, led by coverage, with nothing but stable Rust: instrumentation is a matter
# of LLVM. Address sanitizing would need more, and has nothing to find in parsers without
# `unsafe`. A finding is named: run the target with its file to see it again, then keep it in
# tests/fuzz/seeds/TARGET.
set -eu
cd "$(dirname "$0")/../.."
to=${1:-target/fuzz}
seconds=${2:-20}
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
    mkdir -p "$to/corpus/$name" "$to/findings/$name"
    if "$to/$host/debug/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 \
        -max_len=4096 -dict=tests/fuzz/words.dict -artifact_prefix="$to/findings/$name/" \
        "$to/corpus/$name" "tests/fuzz/seeds/$name" >"$to/$name.log" 2>&1; then
        # "#123456 DONE cov: 321 ft: 1234 corp: 99/4567b ..."
        echo "ok $name: $(sed -n 's/^#\([0-9]*\)\tDONE *cov: \([0-9]*\).*/\1 inputs, \2 edges/p' "$to/$name.log")"
    else
        tail -n 30 "$to/$name.log"
        echo "FAIL $name: see $to/findings/$name"
        failed=1
    fi
done
exit $failed
