#!/bin/sh
# The two tables of what is proved where, one proof a line:
# ID<TAB>file<TAB>case<TAB>what it proves.
#   tests/flow.tsv    ids of the flow; its comment in the file is `flow: ID, ID, ...`.
#                     Every id that this version covers has at least one line.
#   tests/faults.tsv  faults and acceptance tests; a comment in the file names the id.
#                     No id has two lines; those that have none yet are printed.
# A case is a title in the tables of a C test, a function of a Rust test, or a text in
# a shell test: one that is renamed or dropped takes its ids' proof along, and is missed.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
tab=$(printf '\t')

flow_ids() {
    for i in $(seq 1 21); do echo "M$i"; done
    for i in $(seq 1 10); do echo "W$i"; done
    for i in $(seq 1 13); do echo "C$i"; done
    echo S1
    for i in $(seq 1 18); do echo "L$i"; done
}

fault_ids() {
    for range in A22 B12 C17 D16 E07 F08 G13 H09 I12; do # faults, with two digits
        last=${range#?}
        for i in $(seq 1 "${last#0}"); do printf '%s%02d\n' "${range%??}" "$i"; done
    done
    for range in A2 C2 H3 L1 N1 O2 P2 Q1 R6 S2 T1 U2; do # acceptance, with one
        for i in $(seq 1 "${range#?}"); do echo "${range%?}$i"; done
    done
}

complain() {
    echo "$table: $*"
    echo "$*" >>"$bad"
}

has_case() { # FILE CASE
    case $1 in
    *.rs) grep -q "fn $2(" "$1" ;;
    *.sh | *.py) grep -qF -e "$2" "$1" ;;
    *) grep -qF "{\"$2\"," "$1" ;;
    esac
}

flow_names() { # FILE ID
    grep -q "flow:.*\<$2\>" "$1"
}

fault_names() {
    grep -v 'flow:' "$1" | grep -q "\<$2\>"
}

check_lines() { # which ids there are, and whether a file names one in a comment
    known=$1
    names=$2
    lines=0
    while IFS=$tab read -r id file case what; do
        case $id in '' | '#'*) continue ;; esac
        lines=$((lines + 1))
        $known | grep -qx "$id" || complain "$id: no such id"
        [ -n "$what" ] || complain "$id: no text on what $file proves"
        if [ ! -f "$file" ]; then
            complain "$id: $file does not exist"
        elif ! $names "$file" "$id"; then
            complain "$id: no comment in $file names it"
        elif ! has_case "$file" "$case"; then
            complain "$id: $file has no case \"$case\""
        fi
    done <"$table"
}

table=tests/flow.tsv
check_lines flow_ids flow_names
for id in $(flow_ids); do
    grep -q "^$id$tab" $table || complain "$id: no test"
done
echo "$table: $(flow_ids | wc -l) ids, $lines lines"

table=tests/faults.tsv
check_lines fault_ids fault_names
for id in $(cut -f1 $table | sort | uniq -d); do
    complain "$id: more than one line"
done
open=$(for id in $(fault_ids); do grep -q "^$id$tab" $table || echo "$id"; done)
echo "$table: $(fault_ids | wc -l) ids, $lines lines; no test yet:" $open

[ ! -s "$bad" ]
