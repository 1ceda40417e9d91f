# The database is frozen in the middle of a call: nobody waits for it. Operators are answered
# and workers replaced and brought up to date, while the call goes on; and what was asked for
# is done when the database is thawed, once. Then: a name that is never found. Sourced by
# etcd.sh and postgres.sh, see common.sh.
hosts=1
make_network
start_server

# Longer than all of this takes: so what is answered is answered before the call is given up.
store_timeout=120s fleet_lease=600s run_host 1
wait_for store_is 1 OPEN
[ "$(console 1 ACTIONS START rollout one)" = 1 ] || fail 'it was not started'
wait_for serves 1 one

worker_pids() {
    console 1 WORKERS JSON | tr '{' '\n' | sed -n 's/.*"pid":\([0-9]*\).*"state":"open".*/\1/p'
}
has_open() {
    [ "$(worker_pids | grep -c .)" -eq "$1" ]
}
wait_for has_open 2
was_replaced() {
    has_open 2 && ! worker_pids | grep -q "^$victim$"
}

freeze
console 1 ACTIONS START rollout two >"$dir/second" &
asked=$!
pids="$asked $pids"
victim=$(worker_pids | head -n 1)
[ -n "$victim" ] || fail 'the console does not tell the workers'
kill -KILL "$victim"
wait_for was_replaced
for question in 1 2 3 4; do
    answers 1 || fail 'the console is silent'
    serves 1 one || fail 'it does not serve'
done
store_is 1 OPEN || fail 'the call was given up: this has shown nothing'
kill -0 "$asked" || fail 'the action was started in a frozen database'
console 1 ACTIONS JSON | grep -q '"unfinished":0' || fail 'an action that is not stored is told'
thaw

is_done() { # ID
    console 1 ACTIONS JSON | tr '{' '\n' | grep "\"id\":$1," | grep -q '"state":"done"'
}
wait "$asked" || fail 'who had asked got no answer'
[ "$(cat "$dir/second")" = 2 ] || fail "the answer was $(cat "$dir/second")"
wait_for is_done 2
wait_for serves 1 two
[ "$(console 1 ACTIONS HISTORY 2 | grep -c started)" -eq 1 ] || fail 'not started exactly once'

# It ends in order also while a call is under way.
freeze
console 1 ACTIONS HISTORY 2 >"$dir/third" &
asked=$!
pids="$asked $pids"
answers 1 || fail 'the console is silent'
kill -TERM "$(cat "$dir/pid.1")"
# What remains is to give the lease back: for that, it waits.
thaw
wait "$(cat "$dir/pid.1")" || fail "exit status $?"
started=$server
wait "$asked" || :

[ -n "${store_with_name:-}" ] || return 0

# A name whose server never answers.
start ip netns exec "$net-hub" socat -u UDP4-RECV:53,bind=10.77.0.254 -
echo 'nameserver 10.77.0.254' >"$dir/resolv.conf"
store=$store_with_name
with_resolver() {
    exec unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$dir/resolv.conf" "$@"
}
around=with_resolver store_timeout=500ms run_host 1
not_found() {
    console 1 ACTIONS JSON | grep -q 'the name was not found in store_timeout'
}
wait_for not_found
stop "$(cat "$dir/pid.1")"
