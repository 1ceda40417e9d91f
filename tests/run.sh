#!/bin/sh
# sh tests/run.sh [STAGE...]   everything that must hold, or only some stages.
# The last line is `N passed, N failed`; the exit status is 0 when none failed.
#
# Builds go to target/ (cargo's own) and build/gates/, output to build/gates/log/.

set -u
cd "$(dirname "$0")/.." || exit 1

ALL="fmt clippy cargo header gcc symbols clang consumers docs cost shares flow loom fuzz asan valgrind chaos demo"
OUT=build/gates
LOGS=$OUT/log
JOBS=$(nproc 2>/dev/null || echo 2)
PASSED=0
FAILED=0
mkdir -p "$LOGS"
: >"$LOGS/failures"

count() { # count PASSED FAILED
    PASSED=$((PASSED + $1))
    FAILED=$((FAILED + $2))
}

# failure NAME LOG: for the summary at the end, where it is not scrolled away.
failure() {
    {
        printf 'FAIL %s; all of it: %s\n' "$1" "$2"
        tail -n 12 "$2" | cut -c 1-200 | sed 's/^/   | /'
    } >>"$LOGS/failures"
}

# run NAME COMMAND...: its output to a log; the log's end is shown on failure.
run() {
    name=$1
    shift
    begin=$(date +%s)
    printf '  ..   %s\n' "$name"
    log=$LOGS/$(printf %s "$name" | tr ' /' '__').log
    if "$@" >"$log" 2>&1; then
        printf '  ok   %s (%s s)\n' "$name" $(($(date +%s) - begin))
        return 0
    fi
    tail -n 25 "$log" | sed 's/^/       | /'
    printf '  FAIL %s (%s s); all of it: %s\n' "$name" $(($(date +%s) - begin)) "$log"
    failure "$name" "$log"
    return 1
}

# gate NAME HINT COMMAND...: one thing that counts as one test.
gate() {
    gate_name=$1
    hint=$2
    shift 2
    if run "$gate_name" "$@"; then
        count 1 0
    else
        count 0 1
        printf '       -> %s\n' "$hint"
        return 1
    fi
}

stage_fmt() {
    gate "rustfmt" "run: cargo fmt" cargo fmt --check
    gate "clang-format" "run: clang-format -i \$(git ls-files '*.c' '*.cpp' 'tests/*.h' 'c-examples/*.h')" \
        sh tests/gates/clang_format.sh
}

stage_clippy() {
    gate "clippy" "mend what it names; the deny list is in Cargo.toml and clippy.toml" \
        cargo clippy --locked --all-targets --features fault,store-etcd-tls -- -D warnings
    gate "clippy without features" "see above; look for #[cfg(feature = ...)]" \
        cargo clippy --locked --lib --no-default-features -- -D warnings
}

stage_cargo() {
    whole=0
    run "cargo test" cargo test --locked --no-fail-fast --features fault,store-etcd-tls || whole=1
    results=$(awk '/^test result:/ { ok += $4; bad += $6 } END { print ok + 0, bad + 0 }' "$log")
    # Something that did not even run has no result line.
    [ "$whole" -eq 0 ] || [ "${results#* }" -ne 0 ] || results="${results% *} 1"
    count ${results% *} ${results#* }
    printf '       %s passed, %s failed\n' ${results% *} ${results#* }
    [ "$whole" -eq 0 ] ||
        printf '       -> stale header or layout? DTM_BLESS=1 cargo test renews them\n'
}

stage_header() {
    for cc in gcc clang; do
        gate "header with $cc" "include/dtm.h must compile as C and C++ without a warning" \
            sh tests/gates/header.sh $cc
    done
}

# configure_and_build NAME CC CXX OPTION...: a build tree in build/gates/NAME.
configure_and_build() {
    tree=$1
    cc=$2
    cxx=$3
    shift 3
    gate "$tree: build" "see the log; the same by hand: cmake --build $OUT/$tree" sh -c '
        tree=$1 cc=$2 cxx=$3 jobs=$4
        shift 4
        cmake -S . -B "$tree" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
            -DDTM_BUILD_TESTS=ON "$@" && cmake --build "$tree" -j "$jobs"
    ' sh "$OUT/$tree" "$cc" "$cxx" "$JOBS" "$@"
}

# Most tests wait for most of their time.
AT_ONCE=$((JOBS * 2))

# c_tests TREE [OPTION...]: ctest, a line for each test as it ends, and each counted. What fails is
# run once more, and named when it then passes: a machine that stands still for seconds
# is no failure of the library, but whoever reads this should know.
c_tests() {
    tree=$1
    shift
    log=$LOGS/$tree-ctest.log
    printf '  ..   %s: ctest\n' "$tree"
    ctest --test-dir "$OUT/$tree" "$@" --output-on-failure --repeat until-pass:2 -j "$AT_ONCE" 2>&1 | tee "$log" |
        sed -u -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: /       /p'
    # "90% tests passed, 1 tests failed out of 10"
    results=$(awk '/tests failed out of/ { print $NF - $4, $4 }' "$log")
    [ -n "$results" ] || results="0 1"
    count ${results% *} ${results#* }
    grep -hE '^ *[0-9/]* *Test +#[0-9]+:.*\*\*\*(Failed|Timeout)' "$log" |
        sed 's/^[^:]*: /       failed once: /'
    if [ "${results#* }" -eq 0 ]; then
        printf '  ok   %s: ctest, %s tests\n' "$tree" "${results% *}"
    else
        tail -n 25 "$log" | sed 's/^/       | /'
        printf '  FAIL %s: ctest; all of it: %s\n' "$tree" "$log"
        failure "$tree: ctest" "$log"
        printf '       -> one test alone: %s/%s/tests/c/NAME\n' "$OUT" "$tree"
    fi
}

# gcc and clang trees share what cargo builds: it does not depend on the C compiler.
SHARED="-DDTM_CARGO_TARGET_DIR=$PWD/$OUT/cargo"

stage_gcc() {
    configure_and_build gcc gcc g++ -DCMAKE_BUILD_TYPE=Release "$SHARED" && c_tests gcc
}

# Everything is built; run is what may depend on the C compiler: layouts, exceptions and
# jumps through callbacks, preprocessor, the examples. The library is the same one.
stage_clang() {
    configure_and_build clang clang clang++ -DCMAKE_BUILD_TYPE=Debug "$SHARED" &&
        c_tests clang -R '^t_abi|^t_throw|^t_breaks|^t_misuse|^t_life|^t_clients|^t_config|^example-'
}

stage_symbols() {
    [ -f $OUT/gcc/lib/libdtm.a ] || stage_gcc
    for lib in libdtm.so libdtm.a; do
        gate "symbols of $lib" "new function? add it to cmake/libdtm.symbols; gone? that breaks the ABI" \
            sh tests/gates/symbols.sh "$OUT/gcc/lib/$lib"
    done
    gate "system libraries" "set DTM_STATIC_LIBS in cmake/DtmCargo.cmake to what rustc asks for" \
        sh tests/gates/static_libs.sh
}

stage_consumers() {
    for how in add_subdirectory fetchcontent find_package pkgconfig pkgconfig_static two_rust; do
        gate "consumer: $how" "the program is in tests/consumer/" \
            sh tests/consumer/run.sh $how "$PWD/$OUT/consumer" "$PWD/$OUT/cargo"
    done
}

stage_docs() {
    gate "verdicts of the benchmark" "what a figure is called: benches/lib/figure.py, benches/lib/stats.py" \
        python3 -B tests/gates/verdicts.py
    [ -f $OUT/gcc/lib/libdtm.so ] || stage_gcc
    gate "documents" "the programs are in README.md and docs/porting/" \
        sh tests/gates/readme.sh "$OUT/gcc/lib"
}

stage_cost() {
    [ -f $OUT/gcc/lib/libdtm.so ] || stage_gcc
    gate "instructions per step" "what is new on the way of each event? src/event/pass.rs, src/border.rs" \
        sh tests/gates/instructions.sh "$OUT/gcc/lib"
}

# A1: enough of them for the shares to say something of the mode. 77: it cannot be had here.
stage_shares() {
    [ -x $OUT/gcc/tests/c/t_modes_share ] || stage_gcc
    for mode in token steer hash shared pass rotate lock; do
        gate "80,000 short connections, $mode" "src/accept/choose.rs, src/accept/spread.rs" \
            env DTM_TEST_MODE=$mode DTM_TEST_MANY=80000 sh -c '"$0" "short connections" || [ $? = 77 ]' \
            "$OUT/gcc/tests/c/t_modes_share"
    done
}

stage_flow() {
    gate "flow and fault tables" "a line in tests/flow.tsv or tests/faults.tsv, and the id in a comment of its test" \
        sh tests/gates/flow_table.sh
}

stage_loom() {
    gate "every order of shared steps" "the model that fails is in tests/loom/src; LOOM_LOG=trace shows its steps" \
        sh tests/gates/loom.sh "$PWD/$OUT/loom"
}

# 8 s each at most, and the same inputs each time.
stage_fuzz() {
    gate "fuzzing of the parsers" "the target prints the input: see tests/gates/fuzz.sh" \
        sh tests/gates/fuzz.sh "$PWD/$OUT/fuzz" 8 1
}

# The sanitizer leaves the signals of a crash alone: the library reports those, and
# the tests look at how a process died.
stage_asan() {
    export ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0
    configure_and_build asan gcc g++ -DCMAKE_BUILD_TYPE=Debug -DDTM_CARGO_PROFILE=dev \
        -DDTM_SANITIZE=address,undefined &&
        # But for shell around what others of these tests run, and modes that differ from
        # another one in the choice only.
        c_tests asan -E '^ctl-|^fleet-|^many-|^t_modes_.*\.(hash|shared|rotate)$'
}

# Slow: only the tests that say `valgrind: yes` in a comment. A library without
# optimisation: valgrind takes some of LLVM's speculation for the real thing.
stage_valgrind() {
    configure_and_build valgrind gcc g++ -DCMAKE_BUILD_TYPE=Debug -DDTM_CARGO_PROFILE=dev \
        -DDTM_BUILD_EXAMPLES=OFF "$SHARED" || return
    for source in $(grep -l 'valgrind: yes' tests/c/t_*.c); do
        test=$(basename "$source" .c)
        gate "valgrind: $test" "the same by hand: valgrind $OUT/valgrind/tests/c/$test" \
            valgrind -q --error-exitcode=99 "$OUT/valgrind/tests/c/$test"
    done
}

# One minute of it, the same events each time; the binary's head says how to have more, and others.
stage_chaos() {
    [ -x $OUT/gcc/tests/chaos/chaos ] || stage_gcc
    gate "chaos" "the log names the seed; the same by hand: DTM_CHAOS_SEED=N $OUT/gcc/tests/chaos/chaos" \
        env DTM_CHAOS_SEED="${DTM_CHAOS_SEED:-1}" "$OUT/gcc/tests/chaos/chaos" smoke
}

stage_demo() {
    gate "demo" "the same by hand: sh c-examples/demo.sh" sh c-examples/demo.sh
}

finish() {
    cat "$LOGS/failures"
    printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" -eq 0 ]
    exit
}

for stage in "$@"; do
    case " $ALL " in
    *" $stage "*) ;;
    *)
        printf 'no such stage: %s\nstages: %s\n' "$stage" "$ALL" >&2
        exit 2
        ;;
    esac
done

gate "tools" "install what is named above" sh tests/gates/tools.sh || finish
for stage in ${*:-$ALL}; do
    printf '== %s\n' "$stage"
    "stage_$stage" || [ $? -ne 127 ] || count 0 1
done
finish
