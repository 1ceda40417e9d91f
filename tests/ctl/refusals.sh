#!/bin/sh
# refusals.sh EXAMPLES DTMCTL: wrong command lines, wrong servers, wrong passwords: each has
# its exit code and a message that says what to do.
. "$(dirname "$0")/common.sh"

# 2: the command line.
expect 2 'where is the console' "$dtmctl" status
expect 2 'which command' "$dtmctl"
expect 2 'no option --nosuch' "$dtmctl" --nosuch status
expect 2 'needs a value.*--help' "$dtmctl" status -h
expect 2 'not both' "$dtmctl" -s x -p 1 status
expect 2 'takes no --sort' "$dtmctl" -s x status --sort cpu
expect 2 'one of slot' "$dtmctl" -s x top --sort nosuch
expect 2 'bash, zsh or fish' "$dtmctl" completion tcsh
expect 2 '107 bytes' "$dtmctl" -s "/$(printf '%0200d' 0)" status
expect 0 'Usage: dtmctl' "$dtmctl" --help
for command in $("$dtmctl" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    expect 0 "Usage: dtmctl $command" "$dtmctl" "$command" --help
done

# 3: no console.
expect 3 'no such socket' "$dtmctl" -s "$dir/nosuch" status
expect 3 'refused' "$dtmctl" -h 127.0.0.1 -p 1 status
for case in 'http:HTTP server' 'closed:hung up before' 'half:middle of an answer' 'deep:no console' \
    'redis:that is redis' 'old:unknown command' 'own:no console'; do
    start python3 "$(dirname "$0")/hostile.py" "$dir/${case%%:*}" "${case%%:*}"
    wait_for test -S "$dir/${case%%:*}"
    expect 3 "${case#*:}" "$dtmctl" -s "$dir/${case%%:*}" status
    ! grep -q "$escape" "$dir/said" || fail "${case%%:*}: its escape codes reach the terminal"
done
kill "$started" # a socket file without its server
wait "$started" || :
expect 3 'nobody listens' "$dtmctl" -s "$dir/own" status

# 5: a service that hangs.
start python3 "$(dirname "$0")/hostile.py" "$dir/silent" silent
wait_for test -S "$dir/silent"
expect 5 'no answer in time' "$dtmctl" -s "$dir/silent" status

# 4: who may not. A password in the environment, in a file, or on the command line.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf '[dtm]\ncontrol_password = open sesame\n' >"$dir/conf"
printf 'open sesame\n' >"$dir/password"
start "$bin/echo" --listen "unix:$dir/service" --workers 1 --console "127.0.0.1:$port" --config "$dir/conf"
service=$started
tcp() { "$dtmctl" -p "$port" "$@"; }
wait_for env DTMCTL_PASSWORD='open sesame' "$dtmctl" -p "$port" status --check
expect 4 'DTMCTL_PASSWORD' tcp status
expect 4 'wrong password' tcp -a nonsense status
expect 0 serving tcp -a 'open sesame' status
expect 0 serving tcp --password-file "$dir/password" status
expect 0 serving env DTMCTL_PORT="$port" DTMCTL_PASSWORD_FILE="$dir/password" "$dtmctl" status
expect 2 'password file' tcp --password-file "$dir/nosuch" status
stop "$service"

# Without a password whoever comes by TCP may look.
start "$bin/echo" --listen "unix:$dir/service" --workers 1 --console "127.0.0.1:$port"
service=$started
wait_for tcp status --check
expect 4 'for operators' tcp reload
expect 0 serving tcp -a superfluous status
expect 2 "unknown command 'nosuch'" tcp nosuch
expect 2 'wrong number of arguments' tcp ping a b c
stop "$service"
echo 'dtmctl: every refusal'
