# Many actions of a fleet, one after the other: what is finished does not stay for ever, and
# what is begun is found however many there were. Sourced by etcd.sh and postgres.sh, see
# common.sh.
hosts=1
make_network
start_server
run_host 1
wait_for store_is 1 OPEN
console 1 FLEET START block nosuch | grep -q "no action named 'nosuch'" || fail 'nosuch was started'

# None of these is ever carried out: they are cancelled at once, or fail.
count=0
while [ "$count" -lt 40 ]; do
    count=$((count + 1))
    id=$(begin 1 block bad)
    [ "$id" -eq "$count" ] || fail "the number $id comes after $((count - 1))"
    console 1 FLEET CANCEL "$id" >/dev/null
done

kept() {
    console 1 FLEET JSON | tr '{' '\n' | grep -c '^"id"'
}
few_are_kept() {
    [ "$(kept)" -le 32 ]
}
wait_for few_are_kept
fleet 1 40 | grep -q state || fail 'the newest is gone'
[ -z "$(fleet 1 1)" ] || fail 'the oldest is kept'

id=$(begin 1 block last)
[ "$id" -eq 41 ] || fail "the number $id comes after 40"
wait_for fleet_is 1 "$id" done
wait_for serves 1 last
stop "$(cat "$dir/pid.1")"
started=$server

# A lease that is over before a call has to have ended could never be kept.
store_timeout=10s fleet_lease=5s run_host 1
too_short() {
    console 1 ACTIONS JSON | grep -q 'fleet_lease (5000 ms) must be longer than store_timeout'
}
wait_for too_short
stop "$(cat "$dir/pid.1")"
started=$server
