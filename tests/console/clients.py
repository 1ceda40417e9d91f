"""The console through redis-py: clients.py SOCKET"""

import json
import sys

import redis

console = redis.Redis(unix_socket_path=sys.argv[1], decode_responses=True, client_name="py")
assert console.ping()
assert console.client_getname() == "py"
info = console.info()
assert info["worker_max"] == 2 and info["state"] == "serving", info
assert console.info("stats").keys() >= {"run_count", "run_qps"}
assert console.config_get("workers") == {"workers": "2"}
assert any(client["name"] == "py" for client in console.client_list())
assert console.command_count() == len(console.command())
assert console.command()["scale"]["arity"] == 2

status = json.loads(console.execute_command("STATUS", "JSON"))
assert status["workers_open"] == 2, status
flat = console.execute_command("STATUS")
assert dict(zip(flat[::2], flat[1::2]))["state"] == "serving"

try:
    console.execute_command("SCALE", "many")
    sys.exit("SCALE many was accepted")
except redis.ResponseError as error:
    assert "must be a whole number" in str(error), error

events = console.pubsub(ignore_subscribe_messages=True)
events.subscribe("reload")
events.psubscribe("f*")
events.get_message(timeout=10)
assert console.execute_command("RELOAD").startswith("generation 2 serves")
heard = {"reload": [], "fork": []}
while len(heard["reload"]) < 2:
    message = events.get_message(timeout=10)
    assert message or not heard["reload"], "no event of the reload's end"
    if message:
        heard[message["channel"]].append(json.loads(message["data"]))
assert [event["phase"] for event in heard["reload"]] == ["begin", "end"], heard
assert len(heard["fork"]) == 2 and heard["fork"][0]["role"] == "worker", heard

# Pipelined: sent at once, answered in order.
pipeline = console.pipeline(transaction=False)
for i in range(10000):
    pipeline.echo(str(i))
assert pipeline.execute() == [str(i) for i in range(10000)]
print("redis-py: ok")
