#!/bin/sh
# loom.sh [TARGET_DIR]: the hand-over of tokens, the load table and published records, in
# every order of their steps: tests/loom. Half a minute; a model that takes longer fails.
set -eu
cd "$(dirname "$0")/../.."
cargo fmt --manifest-path tests/loom/Cargo.toml --check
cargo run --quiet --locked --manifest-path tests/loom/Cargo.toml --target-dir "${1:-target/loom}"
