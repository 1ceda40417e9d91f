"""What a run has: its scale, its load generator, its servers, its figures."""

import os
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager

from . import servers
from .figure import NOISE_LIMIT, Figure
from .load import Load
from .stats import quartiles

MODES = ["steer", "token", "hash", "shared", "pass", "lock"]


class Bench:
    def __init__(self, programs, quick, only):
        self.programs, self.quick, self.only = os.path.abspath(programs), quick, re.compile(only)
        self.figures, self.plots, self.row, self.began = [], {}, "", time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="dtm-bench-")
        cpus = sorted(os.sched_getaffinity(0))
        self.all_cpus = set(cpus)
        # Servers on one CPU, the load on another: what a server costs does not
        # depend on which of its workers happens to share a cache with the load.
        self.load_cpus, self.server_cpus = {cpus[0]}, {cpus[-1]}
        os.sched_setaffinity(0, self.load_cpus)
        self.load = Load(self.program("load"), self.load_cpus)

    def close(self):
        self.load.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def scale(self, quick, full):
        return quick if self.quick else full

    # ---- servers -----------------------------------------------------------

    def program(self, name):
        return os.path.join(self.programs, name)

    def find(self, command):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return shutil.which(command, path=path)

    def raw(self, workers, how="reuseport"):
        return servers.ByHand(self.program("raw"), workers, how)

    def dtm(self, workers, mode="auto", **settings):
        return servers.Dtm(self.program("dtm"), workers, mode, **settings)

    def peers(self, workers, names):
        """Those of the named peers that are there."""
        nginx, haproxy = self.find("nginx"), self.find("haproxy")
        made = []
        for name in names:
            program, _, how = name.partition("-")
            if program == "nginx" and nginx:
                made.append(servers.Nginx(nginx, workers, how or "default"))
            elif program == "haproxy" and haproxy:
                made.append(servers.Haproxy(haproxy, workers))
            elif program in ("raw", "uv", "event") and os.path.exists(self.program(program)):
                made.append(servers.ByHand(self.program(program), workers, how))
            elif program == "dtm" and os.path.exists(self.program("echo_" + how)):
                made.append(servers.Example(self.program("echo_" + how), workers))
        return made

    @contextmanager
    def running(self, *wanted, cpus=None):
        """Start them; those that refuse are left out. Stop them all at the end."""
        with ExitStack() as stack:
            alive = []
            for server in wanted:
                stack.callback(server.stop)
                try:
                    alive.append(server.start(self.directory, cpus or self.server_cpus))
                except servers.Refused as refusal:
                    self.say(f"{server.name}: {refusal}")
                    server.refusal = str(refusal)
            yield alive

    def modes(self):
        """Each accept mode, and why this library refuses it (None: it does not)."""
        if not hasattr(self, "_modes"):
            self._modes = {}
            for mode in MODES:
                server = self.dtm(1, mode)
                with self.running(server) as alive:
                    self._modes[mode] = None if alive else server.refusal
            self._modes["auto"] = None
        return self._modes

    def usable(self, *modes):
        return [mode for mode in modes or MODES if self.modes()[mode] is None]

    # ---- figures ------------------------------------------------------------

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", file=sys.stderr, flush=True)

    def add(self, name, value, unit="ratio", better="lower", **more):
        self.figures.append(Figure(name, value, unit, better, row=self.row, **more))

    def add_ratios(self, name, ratios, noise=0.0, **more):
        """The median of ratios; no verdict when the machine was too restless."""
        low, middle, high = quartiles(ratios)
        if noise > NOISE_LIMIT:
            more.setdefault("why", f"the hand-written server itself varied by {noise:.0%}")
        self.add(name, middle, low=low, high=high, **more)

    def refuse(self, name, mode, **more):
        self.add(name, None, why=f"refused: {self.modes()[mode]}", **more)

    def versions(self):
        """What was compared, and where."""
        import subprocess

        def first(*command):
            if not self.find(command[0]):
                return "not there"
            done = subprocess.run([self.find(command[0]), *command[1:]], capture_output=True, text=True)
            return (done.stdout + done.stderr).strip().splitlines()[0]

        with open("/proc/cpuinfo") as info:
            model = re.search(r"model name\s*: (.*)", info.read())
        return {
            "machine": f"{len(self.all_cpus)} CPUs, {model.group(1) if model else platform.machine()}",
            "kernel": platform.release(),
            "compiler": first("cc", "--version"),
            "nginx": first("nginx", "-v").removeprefix("nginx version: "),
            "haproxy": first("haproxy", "-v").split(" - ")[0],
            "libuv": first("pkg-config", "--modversion", "libuv"),
            "libevent": first("pkg-config", "--modversion", "libevent"),
            "wrk": first("wrk", "-v").split(" Copyright")[0],
        }
