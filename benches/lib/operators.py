"""What operators cost: commands on the console, actions that wait."""

import os
import select
import subprocess
import tempfile
import time

from . import facts, slices
from .figure import NOISE_LIMIT
from .servers import Server
from .stats import Slice

ROW = "PING on the console by 50 connections of redis-benchmark, against redis-server"
SLICES = {1: 40_000, 50: 400_000}  # commands in a pipeline: commands in a slice
WAITING, PATIENCE = 10_000, 120  # actions, seconds


class _Operated(Server):
    """Answers operators at the socket of its directory."""

    def __init__(self, name, *words):
        super().__init__(name, 2)
        self.words = words

    def command(self, directory):
        return [word.replace("SOCKET", os.path.join(directory, "socket")) for word in self.words]

    def socket(self):
        return os.path.join(self.directory, "socket")

    def ready(self):
        ask = ["redis-cli", "-s", self.socket(), "ping"]
        return subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "PONG"


def _both(bench):
    nothing_kept = ["--port", "0", "--save", "", "--appendonly", "no"]
    redis = _Operated("redis-server", "redis-server", "--unixsocket", "SOCKET", *nothing_kept)
    service = ["--listen", "127.0.0.1:0", "--workers", "2", "--log", "off"]
    console = _Operated("console", bench.program("echo"), "--console", "unix:SOCKET", *service)
    return redis, console


def _ping(bench, server, depth):
    begin, cpu, count = time.monotonic(), server.cpu_ns(), SLICES[depth]
    asked = ["-s", server.socket(), "-t", "ping_mbulk", "-n", str(count), "-P", str(depth)]
    done = subprocess.run(
        ["redis-benchmark", *asked, "--csv"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, bench.load_cpus),
    ).stdout
    cpu, wall = server.cpu_ns() - cpu, time.monotonic() - begin
    rate = float(done.splitlines()[-1].split(",")[1].strip('"'))
    return Slice(rate, cpu / count / 1000, 0.0, cpu / wall / 1e9, 0)


def console(bench):
    """commands on the console"""
    bench.row = ROW
    if not all(map(facts.find, ("redis-server", "redis-cli", "redis-benchmark"))):
        why = "redis-server and its tools are not there"
        return bench.add("console.ping.p1.rate", None, better="higher", why=why)
    redis, console = _both(bench)
    with bench.running(redis, console) as alive:
        if len(alive) < 2:
            raise RuntimeError("redis-server or the console did not start")
        for depth in SLICES:
            _pings(bench, f"console.ping.p{depth}", depth, redis, console)


def _pings(bench, where, depth, redis, console):
    def measure(server):
        return _ping(bench, server, depth)

    paired = slices.paired(bench, where, redis, [console], measure, bench.scale(2, 6), "rate")
    for what, better in (("rate", "higher"), ("cpu", "lower")):
        ratios = paired.ratios["console", what]
        note, why, noise = "", "", paired.noise(what)
        if depth > 1:
            note = f"{depth} in a pipeline"
        if noise > NOISE_LIMIT:
            why = f"redis-server itself varied by {noise:.0%}"
        more = {"better": better, "peer": "redis-server", "note": note, "why": why}
        bench.add_ratios(f"{where}.{what}", ratios, **more)


class _Actions(Server):
    """benches/servers/actions.c: a line with none, a line when all wait."""

    def __init__(self, program, store):
        super().__init__("actions", 1)
        self.words = [program, f"sqlite:{store}/store", str(WAITING)]

    def command(self, directory):
        return self.words

    def ready(self):
        return self.process.poll() is None

    def cost(self):
        ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(self.complaint())
        return float(line)


def actions(bench):
    """durable actions that wait"""
    bench.say("actions")
    bench.row = f"CPU of a pass of the controller: with no action, and with {WAITING:,} that wait"
    # A disk would only make the start longer: nothing is written while it is measured.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else bench.directory
    with tempfile.TemporaryDirectory(dir=memory) as store:
        with bench.running(_Actions(bench.program("actions"), store)) as alive:
            for server in alive:
                none, many = server.cost(), server.cost()
                bench.add("actions.pass.none.cpu", none, "µs")
                bench.add("actions.pass.waiting.cpu", many, "µs")
                bench.add("actions.pass.cpu", many / none, peer="none")
