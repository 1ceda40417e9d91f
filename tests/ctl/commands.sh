#!/bin/sh
# commands.sh EXAMPLES DTMCTL: what dtmctl does with a service: answers, progress, JSON,
# exit codes.
. "$(dirname "$0")/common.sh"

printf '[dtm]\nstore = sqlite:%s/actions\n' "$dir" >"$dir/conf"
serve --config "$dir/conf"

# Everything that can be looked at is valid JSON, and plain in a pipe.
for command in status workers generations clients actions reports info config accept log commands \
    'drain --once' 'top --once -i 0.2' 'accept mode' 'raw COMMAND DOCS' 'client list'; do
    ctl --json $command >"$dir/json" || fail "$command"
    python3 -m json.tool <"$dir/json" >/dev/null || fail "$command --json: $(head -c 300 "$dir/json")"
    ctl $command >"$dir/plain" || fail "$command"
    ! grep -q "$escape" "$dir/plain" || fail "$command: colours in a pipe"
    [ -s "$dir/plain" ] || fail "$command says nothing"
done
ctl status --color always | grep -q "$escape\[32mserving" || fail 'no colour, though always'
ctl top -n 3 -i 0.1 --json >"$dir/json"
[ "$(wc -l <"$dir/json")" -eq 3 ] || fail 'top -n 3: not 3 objects'

# A reload shows its way and its end.
generation=$(field generation)
expect 0 'reload: generation .* serves' ctl reload
for event in fork ready open draining; do
    grep -q "  $event .* worker " "$dir/said" || fail "reload: no $event: $(cat "$dir/said")"
done
must_be generation $((generation + 1))
ctl reload --wait --json >"$dir/json" || fail 'reload --wait'
[ "$(tail -n 1 "$dir/json" | python3 -c 'import json, sys; print(json.load(sys.stdin)["ok"])')" = True ] ||
    fail "reload --json: $(tail -n 1 "$dir/json")"
must_be generation $((generation + 2))
must_be workers_draining 0
expect 0 '^reload: ' ctl -q reload
[ "$(wc -l <"$dir/said")" -eq 1 ] || fail 'reload -q says more than its result'

# One that fails says why, and changes nothing.
printf '[dtm]\nworkers = many\n' >"$dir/conf"
expect 1 'workers' ctl reload
must_be generation $((generation + 3))
expect 1 'workers' ctl loadconf
printf '[dtm]\nstore = sqlite:%s/actions\n' "$dir" >"$dir/conf"
expect 0 '' ctl loadconf

expect 0 'all workers serve' ctl scale 4 --wait
must_be workers_open 4
ctl scale 2 --wait >"$dir/said"
must_be workers_open 2

# One worker is replaced; --wait ends when the old one has left.
worker_pids() { ctl workers --json | python3 -c 'import json, sys; print(*sorted(w["pid"] for w in json.load(sys.stdin) if w["pid"]))'; }
slot_of() { ctl workers --json | python3 -c 'import json, sys; print([w["slot"] for w in json.load(sys.stdin) if w["pid"]][0])'; }
for quiet in '' -q; do
    slot=$(slot_of)
    before=$(worker_pids)
    expect 0 "recycle slot $slot: .*; all workers serve, none drains" ctl recycle "$slot" --wait $quiet
    after=$(worker_pids)
    both=$(printf '%s\n' $before $after | sort | uniq -d | wc -l)
    [ "$(echo "$after" | wc -w)" -eq 2 ] && [ "$both" -eq 1 ] || fail "recycle: $before became $after"
done
expect 1 'no worker' ctl recycle 31

expect 0 '' ctl nofork 60
expect 0 'no forks for' ctl status
# A reload waits for the end of the ban.
expect 5 'may go on in the service' ctl reload -q -t 0.5
expect 0 '' ctl nofork off
wait_for is reloading None
expect 0 '' ctl accept token
ctl accept mode | grep -q 'wanted *token' || fail 'accept token'
expect 0 '' ctl log debug
[ "$(ctl log)" = debug ] || fail 'log debug'
expect 0 '' ctl reopen
[ "$(ctl raw PING)" = PONG ] || fail 'raw PING'
[ "$(ctl raw ECHO --json)" = --json ] || fail 'raw passes everything on'

# Events, as they happen.
ctl events --json --count 2 fork >"$dir/events" &
listener=$!
pids="$listener $pids"
listens() { ctl client list | grep -q 'psub=0.*cmd=subscribe'; }
wait_for listens
ctl -q reload >/dev/null
wait "$listener" || fail 'events'
[ "$(wc -l <"$dir/events")" -eq 2 ] || fail "events: $(cat "$dir/events")"
while read -r line; do
    echo "$line" | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)["event"] != "fork")' ||
        fail "events: $line"
done <"$dir/events"

# A client that takes nothing of what it is sent keeps its worker from leaving.
head -c 20000000 /dev/zero | socat -u - "UNIX-CONNECT:$dir/service" &
holder=$!
pids="$holder $pids"
has_client() { [ "$(field clients)" -eq 1 ]; }
wait_for has_client
ctl -q reload >/dev/null
wait_for is workers_draining 1 # whoever has no clients has left
expect 0 '1 draining, 1 clients' ctl drain --once
grep -q '1 busy clients; the oldest' "$dir/said" || fail "drain: $(cat "$dir/said")"
expect 0 'waits for 1 busy clients' ctl clients
expect 5 'drain' ctl drain -q -t 0.2
expect 5 'serves.*; but workers drain' ctl reload -q --wait -t 0.5
ctl drain >"$dir/drained" &
drain=$!
pids="$drain $pids"
kill "$holder"
wait "$drain" || fail 'drain'
grep -q 'no worker drains' "$dir/drained" || fail "drain: $(cat "$dir/drained")"

# Durable actions: what was done, and when.
if ctl actions | grep -q '^store NONE'; then
    echo 'built without SQLite: no actions are started'
else
    expect 0 '^store OPEN, 0 unfinished$' ctl actions
    expect 0 '^dtm-restart$' ctl actions names
    before=$(worker_pids)
    expect 0 '^1$' ctl actions start dtm-restart
    has_ended() { ctl actions | grep -q ' dtm-restart .* done '; }
    wait_for has_ended
    [ "$(printf '%s\n' $before $(worker_pids) | sort | uniq -d | wc -l)" -eq 0 ] || fail 'dtm-restart'
    expect 0 '  done action phase' ctl actions history 1
    expect 0 '^2$' ctl actions start dtm-recycle 3600
    expect 0 '' ctl actions pause 2
    expect 0 ' dtm-recycle  3600  paused' ctl actions
    ctl actions --json | python3 -c 'import json, sys; sys.exit([a["state"] for a in json.load(sys.stdin)["actions"]] != ["done", "paused"])' ||
        fail "actions --json: $(ctl actions --json)"
    expect 0 '' ctl actions resume 2
    expect 0 '' ctl actions cancel 2
    expect 0 '^store OPEN, 0 unfinished$' ctl actions
    expect 1 'no action named' ctl actions start nosuch
    expect 1 'no action 99' ctl actions pause 99
fi
wait_for ctl status --check

# A crash is kept: its number, signal and stack. Of one who stays: the action that was cancelled
# may have told another one to leave.
wait_for is workers_draining 0
victim=$(worker_pids | cut -d ' ' -f 1)
kill -SEGV "$victim"
has_report() { ctl reports | grep -q "crash *worker.* $victim "; }
wait_for has_report
wait_for ctl status --check
expect 0 '^signal *11$' ctl report last
has_stack() { ctl report last | grep -q '^  #0 '; }
wait_for has_stack
ctl report last --json | python3 -c 'import json, sys; r = json.load(sys.stdin); sys.exit(r["pid"] != int(sys.argv[1]) or not r["stack"])' "$victim" ||
    fail 'report --json'

expect 0 'stop' ctl stop
expect 1 '' ctl status --check
must_be state stopped
expect 0 'start' ctl start
wait_for ctl status --check

# Scripts for shells.
for shell in bash zsh fish; do
    "$dtmctl" completion $shell >"$dir/completion.$shell"
    ! command -v $shell >/dev/null || $shell -n "$dir/completion.$shell" || fail "completion $shell"
done
complete() {
    bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dtmctl; echo "${COMPREPLY[*]}"' \
        "$dir/completion.bash" "$@"
}
[ "$(complete dtmctl rel)" = reload ] || fail 'completion of rel'
[ "$(complete dtmctl -s /x shutdown n)" = now ] || fail 'completion of shutdown n'
[ "$(complete dtmctl status --ch)" = --check ] || fail 'completion of status --ch'
if command -v fish >/dev/null; then
    fish_says() { fish -N -c "source '$dir/completion.fish'; complete -C '$1'" | cut -f 1 | tr '\n' ' '; }
    [ "$(fish_says 'dtmctl rel')" = 'reload ' ] || fail "fish: $(fish_says 'dtmctl rel')"
    [ "$(fish_says 'dtmctl -s /x shutdown n')" = 'now ' ] || fail 'fish: shutdown n'
    [ "$(fish_says 'dtmctl status --ch')" = '--check ' ] || fail 'fish: status --ch'
    [ "$(fish_says 'dtmctl --color ne')" = 'never ' ] || fail 'fish: --color ne'
else
    echo 'no fish here: its completion is not tried'
fi
if command -v zsh >/dev/null; then
    mkdir "$dir/zsh"
    cp "$dir/completion.zsh" "$dir/zsh/_dtmctl"
    zsh_says() { python3 "$(dirname "$0")/zsh.py" "$dir/zsh" "$1"; }
    for case in 'dtmctl rel:dtmctl reload' 'dtmctl -s /x shutdown n:dtmctl -s /x shutdown now' \
        'dtmctl status --ch:dtmctl status --check' 'dtmctl --color ne:dtmctl --color never'; do
        said=$(zsh_says "${case%%:*}")
        [ "$said" = "${case#*:}" ] || fail "zsh: ${case%%:*} becomes $said"
    done
else
    echo 'no zsh here: its completion is not tried'
fi

# The new binary takes over: the same console, another master.
master=$(field master_pid)
expect 0 'the old one has ended' ctl upgrade --wait
wait "$service" || fail "exit status $?"
is_upgraded() { ctl status --check && ! is master_pid "$master"; }
started=$(field master_pid)
pids="$started $pids"
wait_for is_upgraded

# Who reads no further is no error.
ctl commands | head -n 1 >/dev/null
expect 0 'the service has ended' ctl shutdown
expect 3 'no such socket' ctl status
echo 'dtmctl: every command'
