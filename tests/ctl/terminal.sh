#!/bin/sh
# terminal.sh EXAMPLES DTMCTL: dtmctl in a real terminal, of 80 columns and of 200, and in
# one that changes its size.
. "$(dirname "$0")/common.sh"

command -v tmux >/dev/null || exit 77
serve
export LC_ALL=C.UTF-8
TMUX_TMPDIR=$dir
export TMUX_TMPDIR
mux() { tmux -L dtmctl -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; clean_up' EXIT
export dtmctl dir
mux new-session -d -s base 'sleep 600' # the server stays while windows come and go

# terminal COLUMNS LINES COMMAND: a window with a shell that runs it; its exit code, then
# the terminal's settings go to files.
terminal() {
    rm -f "$dir/code" "$dir/stty"
    mux kill-session -t t 2>/dev/null || :
    mux new-session -d -s t -x "$1" -y "$2" "sh -c 'trap : INT; echo before; $3; echo \$? >\$dir/code; stty -a >\$dir/stty; sleep 300; sleep 300'"
}
screen() { mux capture-pane -p -t t:0; }
shows() { screen | grep -q -- "$1"; }
hides() { ! shows "$1"; }
widest() { screen | python3 -c 'import sys; print(max(len(line.rstrip("\n")) for line in sys.stdin))'; }
ended() { [ -s "$dir/stty" ]; }
press() { mux send-keys -t t:0 "$@"; }
look_for() { # or show what is there instead
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || {
            screen >&2
            fail "$*"
        }
        sleep 0.05
    done
}

top="\$dtmctl -s \$dir/console top -i 0.3"
terminal 80 24 "$top"
look_for shows 'echo  serving'
for title in SLOT PID GEN STATE CLIENTS ACC/S REQ/S CPU RSS; do
    shows "$title" || fail "80 columns: no $title"
done
hides 'LAST END' || fail 'LAST END within 80 columns'
[ "$(widest)" -le 80 ] || fail 'wider than 80 columns'
mux capture-pane -e -p -t t:0 | grep -q "$escape\[32mopen" || fail 'no colour'

# Wider, narrower, as small as it gets, and back.
mux resize-window -t t:0 -x 200 -y 50
look_for shows 'LAST END'
mux resize-window -t t:0 -x 40 -y 10
look_for shows 'SLOT.*CLIENTS  ACC/S   CPU$'
look_for shows '^q quit'
mux resize-window -t t:0 -x 5 -y 2
mux resize-window -t t:0 -x 80 -y 24
look_for shows 'REQ/S'

# Sorting by keys.
press C
look_for shows 'CLIENTS▼'
press r
look_for shows 'CLIENTS▲'
press Right
look_for shows 'ACC/S▼'
press +
look_for shows 'every 0.6s'

# Clients are seen with their worker.
socat -u "UNIX-CONNECT:$dir/service" - >/dev/null &
pids="$! $pids"
look_for shows '^clients 1 '
look_for shows '100.0%'

# The service goes and comes back.
stop "$service"
look_for shows 'trying again'
serve
look_for hides 'trying again'
press q
look_for ended
[ "$(cat "$dir/code")" -eq 0 ] || fail "q: exit code $(cat "$dir/code")"
look_for shows '^before'
hides 'SLOT' || fail 'the screen of before is not back'
grep -q ' echo ' "$dir/stty" && grep -q ' icanon ' "$dir/stty" || fail "terminal: $(cat "$dir/stty")"

# Ctrl-C leaves no less tidily.
terminal 200 24 "$top --sort cpu -r"
look_for shows 'CPU▲'
[ "$(widest)" -gt 120 ] || fail '200 columns are not used'
press C-c
look_for ended
grep -q ' echo ' "$dir/stty" || fail "terminal after Ctrl-C: $(cat "$dir/stty")"

# Without colours, and without anything but ASCII.
terminal 80 24 "NO_COLOR=1 LC_ALL=C $top"
look_for shows 'SLOT^'
! mux capture-pane -e -p -t t:0 | grep -q "$escape\[[0-9;]*m" || fail 'NO_COLOR: colours'
press q
look_for ended

# A status fits, with colours; a reload moves and ends in its result.
terminal 80 24 "\$dtmctl -s \$dir/console status"
look_for ended
[ "$(widest)" -le 80 ] || fail 'status: wider than 80 columns'
shows 'of 2 open' || fail 'status'
head -c 20000000 /dev/zero | socat -u - "UNIX-CONNECT:$dir/service" &
holder=$!
pids="$holder $pids"
has_busy() { [ "$(field clients)" -ge 1 ]; }
look_for has_busy
terminal 80 24 "\$dtmctl -s \$dir/console reload --wait"
look_for shows '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] reload .*open 2/2  draining 1 for 1 clients  left 1/2'
mux new-window -t t:1 "sh -c '\$dtmctl -s \$dir/console drain; sleep 300'"
drains() { mux capture-pane -p -t t:1 | grep -q -- "$1"; }
look_for drains '1 draining, 1 clients'
kill "$holder"
look_for drains 'no worker drains'
look_for ended
[ "$(cat "$dir/code")" -eq 0 ] || fail 'reload --wait'
shows '^reload: .*all workers serve' || fail "reload: $(screen)"
hides 'draining 1' || fail 'the line of progress stays'
stop "$service"
echo 'dtmctl: in terminals'
