#!/bin/sh
# pictures.sh EXAMPLES DTMCTL DIRECTORY: the pictures of docs/dtmctl.md, made anew: what tmux
# has on its screen while an echo service is under load, as SVG.
. "$(dirname "$0")/common.sh"

to=${3:?the directory of the pictures}
mkdir -p "$to"
export LC_ALL=C.UTF-8 TMUX_TMPDIR="$dir" dtmctl dir
here=$(cd "$(dirname "$0")" && pwd)
mux() { tmux -L pictures -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; clean_up' EXIT

mux new-session -d -s base 'sleep 600' # the server stays while windows come and go

# picture NAME COLUMNS LINES TEXT COMMAND [KEYS]: when the screen shows TEXT.
picture() {
    mux kill-session -t t 2>/dev/null || :
    mux new-session -d -s t -x "$2" -y "$3" "DTMCTL_SOCKET=\$dir/console PATH=$(dirname "$dtmctl"):\$PATH sh -c '$5; sleep 60'"
    shows() { mux capture-pane -p -t t:0 | grep -q -- "$1"; }
    wait_for shows "$4"
    [ -z "${6:-}" ] || mux send-keys -t t:0 "$6"
    sleep 2.5 # rates of two seconds
    mux capture-pane -e -p -t t:0 | python3 "$here/svg.py" "$2" >"$to/$1.svg"
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
serve --listen "127.0.0.1:$port,unix:$dir/service" --workers 6
start "$bin/load" --connect "127.0.0.1:$port" --clients 40 --seconds 60
head -c 20000000 /dev/zero | socat -u - "UNIX-CONNECT:$dir/service" &
holder=$!
pids="$holder $pids"
started=$service
sleep 3
picture status 80 18 SLOT 'dtmctl status'
picture top-80 80 14 SLOT 'dtmctl top -i 1'
picture top-200 190 14 SLOT 'dtmctl top -i 1' C
picture reload 80 22 'left [1-9]' 'dtmctl reload --wait'
picture drain 80 6 'WAITS FOR' 'dtmctl drain'
kill "$holder"
echo "pictures in $to"
