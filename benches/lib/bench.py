"""What a run has: its scale, its load generator, its servers, its figures."""

import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from . import facts, peers, servers
from .dtm import Dtm
from .figure import NOISE_LIMIT, Figure
from .load import Load
from .stats import quartiles

BY_HAND = ("raw", "uv", "event", "uring", "uring_poll")
MODES = ["steer", "token", "hash", "shared", "pass", "lock"]


class Bench:
    def __init__(self, programs, quick):
        self.programs, self.quick = os.path.abspath(programs), quick
        self.figures, self.plots, self.noise = [], {}, []
        self.row, self.auto, self.began = "", "refused", time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="run-", dir=self.programs)
        cpus = sorted(os.sched_getaffinity(0))
        self.all_cpus = set(cpus)
        self.load_cpus, self.server_cpus = {cpus[0]}, {cpus[-1]}
        os.sched_setaffinity(0, self.load_cpus)
        self.load = Load(self.program("load"), self.load_cpus)
        self.refusals = {mode: self._refusal(mode) for mode in ["auto", *MODES]}

    def close(self):
        self.load.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def renew_load(self):
        """After something went wrong in the middle of a command."""
        self.load.kill()
        self.load = Load(self.program("load"), self.load_cpus)

    def scale(self, quick, full):
        return quick if self.quick else full

    @staticmethod
    def wants(only, name):
        return re.search(only, name)

    @contextmanager
    def layout(self, how):
        """Where the load generator runs: with the servers on one CPU, or on another.

        Together, the CPU never sleeps, and a request costs what it costs. Apart, a
        server that is done early sleeps more often, and pays for that, too.
        """
        if how == "together":
            os.sched_setaffinity(self.load.process.pid, self.server_cpus)
        yield
        os.sched_setaffinity(self.load.process.pid, self.load_cpus)

    # ---- servers -----------------------------------------------------------

    def program(self, name):
        return os.path.join(self.programs, name)

    def raw(self, workers, how="reuseport"):
        return servers.ByHand(self.program("raw"), workers, how)

    def dtm(self, workers, mode="auto", **settings):
        return Dtm(self.program("dtm"), workers, mode, **settings)

    def peers(self, workers, names):
        """Those of the named peers that are there."""
        made = []
        for name in names:
            program, _, how = name.partition("-")
            if program == "nginx" and facts.find("nginx"):
                made.append(peers.Nginx(facts.find("nginx"), workers, how or "default"))
            elif program == "haproxy" and facts.find("haproxy"):
                made.append(peers.Haproxy(facts.find("haproxy"), workers))
            elif program in BY_HAND and os.path.exists(self.program(program)):
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

    def _refusal(self, mode):
        server = self.dtm(1, mode)
        with self.running(server) as alive:
            if mode == "auto" and alive:
                self.auto = server.schedule()
            return None if alive else server.refusal

    def usable(self, *modes):
        """Those of these accept modes that this library has."""
        return [mode for mode in modes or MODES if self.refusals[mode] is None]

    def has_time(self):
        """To measure anew what was disturbed; else a run on a busy machine has no end."""
        return time.monotonic() - self.began < 60 * self.scale(3, 25)

    # ---- figures ------------------------------------------------------------

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", file=sys.stderr, flush=True)

    def add(self, name, value, unit="ratio", better="lower", **more):
        self.figures.append(Figure(name, value, unit, better, row=self.row, **more))

    def add_ratios(self, name, ratios, noise=0.0, limit=None, of_limit=None, **more):
        """The median of {round: ratio}; no verdict when the machine was too restless.
        `limit`: the same of hand-written C; `of_limit`: what ours are of that."""
        low, middle, high = quartiles(ratios.values())
        if noise > NOISE_LIMIT:
            more.setdefault("why", f"the hand-written server itself varied by {noise:.0%}")
        if limit:
            more["limit"] = statistics.median(limit.values())
            more["of_limit"] = statistics.median(of_limit.values())
        self.add(name, middle, low=low, high=high, **more)

    def refused(self, mode, *names, **more):
        """Figures of a mode that this library does not have; True if so."""
        if self.refusals[mode] is None:
            return False
        for name in names:
            self.add(name, None, **more, why=f"refused: {self.refusals[mode]}")
        return True

    def results(self):
        noise = sorted(self.noise)
        found = facts.facts(self.all_cpus)
        found["`accept_mode = auto` is"] = self.auto
        found["duration"] = f"{(time.monotonic() - self.began) / 60:.0f} minutes"
        if noise:
            found["noise"] = (
                f"the hand-written server's own slices varied by {noise[len(noise) // 2]:.1%} "
                f"(at worst {noise[-1]:.1%})"
            )
        figures = [asdict(figure) for figure in self.figures]
        return {"figures": figures, "plots": self.plots, "facts": found}
