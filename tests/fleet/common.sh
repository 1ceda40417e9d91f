# Shared by the tests of fleets: services on one machine, each in a network namespace of its
# own, and their database in another. Sourced with $1 = the directory of the built examples
# and $2 = the test, hosts.sh if there is none. Needs root; exit status 77 where that, or a program, is missing.
. "$(dirname "$0")/../examples/common.sh"
[ "$(id -u)" -eq 0 ] || exit 77
for needed in ip redis-cli socat; do
    command -v "$needed" >/dev/null || exit 77
done

freeze() {
    kill -STOP "$server"
}

thaw() {
    kill -CONT "$server"
}

net=dtm$$
hosts='1 2 3 4 5'

# The hub: a bridge, with the database beside it. Nothing of it reaches beyond.
make_network() {
    ip netns add "$net-hub" || exit 77
    ip -n "$net-hub" link set lo up
    ip -n "$net-hub" link add br0 type bridge
    ip -n "$net-hub" addr add 10.77.0.254/24 dev br0
    ip -n "$net-hub" link set br0 up
    for host in $hosts; do
        ip netns add "$net-$host"
        ip -n "$net-$host" link set lo up
        ip -n "$net-$host" link add eth0 type veth peer name "h$host" netns "$net-hub"
        ip -n "$net-$host" addr add "10.77.0.$host/24" dev eth0
        ip -n "$net-$host" link set eth0 up
        ip -n "$net-hub" link set "h$host" master br0 up
    done
}

clean_network() {
    for name in hub $hosts; do
        ip netns del "$net-$name" 2>/dev/null || :
    done
}
trap 'status=$?; [ -z "${server:-}" ] || thaw 2>/dev/null || :; clean_network; clean_up $status' EXIT

cut() { # HOST: off the net
    ip -n "$net-hub" link set "h$1" down
}

mend() {
    ip -n "$net-hub" link set "h$1" up
}

# Its settings are written once; its pid is in $dir/pid.HOST.
run_host() {
    cat >"$dir/$1.conf" <<CONF
[dtm]
name = rollout
host = h$1
workers = 2
accept_mode = shared
store = $store
store_timeout = ${store_timeout:-1s}
fleet_lease = ${fleet_lease:-6s}
fleet_unavailable = ${unavailable:-1}
respawn_budget = off
CONF
    start ${around:-} ip netns exec "$net-$1" "$bin/${program:-rollout}" --listen "unix:$dir/service.$1" \
        --control "unix:$dir/control.$1" --watch 700 --config "$dir/$1.conf"
    echo "$started" >"$dir/pid.$1"
    wait_for answers "$1"
}

kill_host() {
    kill -KILL "$(cat "$dir/pid.$1")"
    wait "$(cat "$dir/pid.$1")" 2>/dev/null || :
    started=$$
    wait_for gone "$1"
}

console() { # HOST WORD...
    at=$1
    shift
    redis-cli -s "$dir/control.$at" "$@" </dev/null
}

answers() {
    [ "$(console "$1" PING 2>/dev/null)" = PONG ]
}

gone() {
    ! answers "$1"
}

store_is() { # HOST STATE
    console "$1" ACTIONS JSON | grep -q "\"store\":\"$2\""
}

# By every worker: in accept mode shared they take turns.
serves() { # HOST VALUE
    for question in 1 2 3 4 5 6; do
        [ "$(ask "$dir/service.$1" x)" = "$2" ] || return 1
    done
}

# One line for the fleet's action: STATE, then HOST ENTRY, ...
fleet() { # HOST ID
    console "$1" FLEET JSON | tr '{' '\n' | sed -n "s/^\"id\":$2,//p" | tr -d '"[]}'
}

fleet_is() { # HOST ID STATE
    fleet "$1" "$2" | grep -q "state:$3,"
}

entry_is() { # HOST ID OF ENTRY
    fleet "$1" "$2" | grep -q "h$3 $4"
}

# Who is at work, other than host $1.
busy_host() { # HOST ID
    fleet "$1" "$2" | tr ',:' '\n\n' | sed -n 's/^h\([0-9]\) running.*/\1/p' | grep -v "^$1$" |
        head -n 1
}

somebody_is_busy() {
    [ -n "$(busy_host "$1" "$2")" ]
}

begin() { # HOST POLICY VALUE: its id
    wait_for starts "$@"
    cat "$dir/id"
}

starts() {
    console "$1" FLEET START "$2" rollout "$3" >"$dir/id" && grep -q '^[0-9][0-9]*$' "$dir/id"
}
