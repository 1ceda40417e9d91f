#!/bin/sh
# tests/flow.tsv: ID<TAB>file<TAB>case<TAB>what it proves. Every id that this version
# covers has at least one line; every line names an id of the flow, a file that
# names the id in a comment `flow: ID, ID, ...`, and a case in that file's table of
# tests: a case that is renamed or dropped takes its ids' proof along, and is missed.
set -u
cd "$(dirname "$0")/../.." || exit 1
table=tests/flow.tsv
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT

covered() {
    for i in $(seq 1 21); do echo "M$i"; done
    for i in $(seq 1 10); do echo "W$i"; done
    for i in $(seq 1 9) 13; do echo "C$i"; done
    echo S1
    for i in 1 $(seq 3 17); do echo "L$i"; done
}

complain() {
    echo "$@"
    echo "$@" >>"$bad"
}

if [ ! -f $table ]; then
    echo "$table is missing"
    exit 1
fi
tab=$(printf '\t')

for id in $(covered); do
    grep -q "^$id$tab" $table || complain "$id: no test in $table"
done

lines=0
while IFS=$tab read -r id file case what; do
    case $id in '' | '#'*) continue ;; esac
    lines=$((lines + 1))
    covered | grep -qx "$id" || complain "$id: not an id of the flow that this version covers"
    [ -n "$what" ] || complain "$id: no text on what $file proves"
    if [ ! -f "$file" ]; then
        complain "$id: $file does not exist"
    elif ! grep -q "flow:.*\<$id\>" "$file"; then
        complain "$id: $file has no comment 'flow: ... $id ...'"
    elif ! grep -qF "    {\"$case\"," "$file"; then
        complain "$id: $file has no case \"$case\""
    fi
done <$table

echo "$(covered | wc -l) ids, $lines lines"
[ ! -s "$bad" ]
