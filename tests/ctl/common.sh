# Shared by the tests of dtmctl: sourced as ". common.sh" with $1 = the directory of
# the built examples, $2 = dtmctl.
dtmctl=$(realpath "${2:?the path of dtmctl}")
. "$(dirname "$0")/../examples/common.sh"
unset DTMCTL_SOCKET DTMCTL_HOST DTMCTL_PORT DTMCTL_PASSWORD DTMCTL_PASSWORD_FILE NO_COLOR
escape=$(printf '\033')

ctl() { "$dtmctl" -s "$dir/console" "$@"; }

# serve OPTION...: an echo service with two workers and the ready-made console.
serve() {
    start "$bin/echo" --listen "unix:$dir/service" --workers 2 --console "unix:$dir/console" "$@"
    service=$started
    wait_for ctl status --check
}

# expect CODE TEXT COMMAND...: its exit code, and a pattern in what it says.
expect() {
    code=$1
    text=$2
    shift 2
    said=0
    "$@" >"$dir/said" 2>&1 </dev/null || said=$?
    [ "$said" -eq "$code" ] || fail "$*: exit code $said, not $code: $(cat "$dir/said")"
    grep -q -- "$text" "$dir/said" || fail "$*: no '$text' in: $(cat "$dir/said")"
}

# field NAME: of the status.
field() { ctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
is() { [ "$(field "$1")" = "$2" ]; }
must_be() { is "$1" "$2" || fail "$1 is $(field "$1"), not $2"; }
