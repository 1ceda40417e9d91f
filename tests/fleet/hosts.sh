# A fleet, whatever its database: host by host, one killed, one cut off, both policies, the
# database frozen. Sourced by etcd.sh and postgres.sh, which set $store and $server, the
# database's pid.

make_network
start_server
for host in $hosts; do
    run_host "$host"
done
for host in $hosts; do
    wait_for store_is "$host" OPEN
done

# Host by host: never more than one at a time, and at last all have it.
id=$(begin 1 block one)
most=0
until fleet_is 1 "$id" done; do
    now=$(fleet 1 "$id" | tr ',' '\n' | grep -c running || :)
    [ "$now" -le "$most" ] || most=$now
    wait_for answers 1
done
[ "$most" -eq 1 ] || fail "$most hosts at a time"
for host in $hosts; do
    wait_for serves "$host" one
done

# Killed in the middle of it: the others go on, and it does nothing more when it is back.
id=$(begin 1 skip two)
wait_for somebody_is_busy 1 "$id"
victim=$(busy_host 1 "$id")
kill_host "$victim"
wait_for fleet_is 1 "$id" done
entry_is 1 "$id" "$victim" skipped || fail "killed: $(fleet 1 "$id")"
for host in $hosts; do
    [ "$host" = "$victim" ] || wait_for serves "$host" two
done
run_host "$victim"
wait_for store_is "$victim" OPEN
left_behind() {
    console "$victim" ACTIONS JSON | grep -q 'the fleet has skipped this host'
}
wait_for left_behind
serves "$victim" one || fail "who was skipped has gone on"

# Cut off: it stops before its lease is over; then the others go on. One that was through
# with it when it was cut off shows nothing: once more.
to_the_end() {
    console "$victim" ACTIONS JSON | grep -q "\"name\":\"rollout\",\"args\":\"three$try\",\"state\":\"done\""
}
for try in 1 2 3 4 5 6 7 8 9 10; do
    id=$(begin 1 skip "three$try")
    wait_for somebody_is_busy 1 "$id"
    victim=$(busy_host 1 "$id")
    [ -n "$victim" ] || continue
    cut "$victim"
    to_the_end || break
    mend "$victim"
    wait_for fleet_is 1 "$id" done
done
wait_for fleet_is 1 "$id" done
entry_is 1 "$id" "$victim" skipped || fail "cut off: $(fleet 1 "$id")"
answers "$victim" || fail "cut off, its console is silent"
! to_the_end || fail "cut off, it went on to the end"
mend "$victim"
wait_for store_is "$victim" OPEN
wait_for left_behind

# The other policy: who is killed in the middle of it holds the others up until it is back.
id=$(begin 1 block four)
wait_for somebody_is_busy 1 "$id"
victim=$(busy_host 1 "$id")
kill_host "$victim"
lease_is_gone() {
    ! console 1 FLEET HOSTS | grep -q "^h$victim$"
}
wait_for lease_is_gone
entry_is 1 "$id" "$victim" running || fail "block: $(fleet 1 "$id")"
fleet_is 1 "$id" active || fail "block: $(fleet 1 "$id")"
run_host "$victim"
wait_for fleet_is 1 "$id" done
for host in $hosts; do
    wait_for serves "$host" four
done

# The database is frozen: all serve, operators are answered and told, nothing moves.
freeze
troubled() {
    ! store_is "$1" OPEN
}
for host in $hosts; do
    wait_for troubled "$host"
    serves "$host" four || fail "host $host does not serve"
done
thaw
for host in $hosts; do
    wait_for store_is "$host" OPEN
done
id=$(begin 2 block five)
wait_for fleet_is 2 "$id" done
for host in $hosts; do
    wait_for serves "$host" five
    stop "$(cat "$dir/pid.$host")"
done
