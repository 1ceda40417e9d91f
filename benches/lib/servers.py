"""The servers of the bench: each our own child, on a port of its own."""

import os
import re
import signal
import socket
import subprocess
import time

from . import process


class Refused(Exception):
    """The server will not do that, and says why."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(sock, path):
    """One request on a connection that stays; the body."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = sock.recv(4096).decode()
    return answer.partition("\r\n\r\n")[2].strip()


class Server:
    """`name` is what figures call it; `start` returns when all workers are there."""

    scheduling = os.SCHED_OTHER  # what the kernel calls it, of all its processes
    probe = {}  # variables for one of benches/probe

    def __init__(self, name, workers):
        self.name, self.workers, self.port = name, workers, free_port()
        self.process = None

    def as_batch(self):
        """What is woken does not interrupt what runs: sched(7)."""
        self.scheduling = os.SCHED_BATCH
        self.name += "-batch"
        return self

    def _place(self, cpus):
        os.sched_setaffinity(0, cpus)
        os.sched_setscheduler(0, self.scheduling, os.sched_param(0))

    def command(self, directory):
        raise NotImplementedError

    def environment(self):
        """Variables of its own."""
        return {}

    def start(self, directory, cpus):
        self.directory = os.path.join(directory, f"{self.name}.{self.workers}.{self.port}")
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, "stderr"), "w") as stderr:
            self.process = subprocess.Popen(
                self.command(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **self.environment(), **self.probe},
                cwd=self.directory,
                preexec_fn=lambda: self._place(cpus),
            )
        deadline = time.monotonic() + 10
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Refused(self.complaint())
            time.sleep(0.005)
        self.pids = process.tree(self.process.pid)
        return self

    def complaint(self):
        with open(os.path.join(self.directory, "stderr")) as stderr:
            lines = stderr.read().strip().splitlines()
        return lines[-1] if lines else "it did not start, and did not say why"

    def ready(self):
        return len(self.worker_pids()) >= self.workers and self.answers()

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                return bool(fetch(sock, "/who"))
        except OSError:
            return False

    def worker_pids(self):
        return process.children(self.process.pid)

    def cpu_ns(self):
        return process.cpu_ns(self.pids)

    def settle(self, patience=2.0):
        """Until it has done what there was to do: no CPU for a tenth of a second."""
        deadline, last = time.monotonic() + patience, -1
        while time.monotonic() < deadline and last != (last := self.cpu_ns()):
            time.sleep(0.1)

    def stop(self):
        if self.process:
            process.end(self.process, signal.SIGTERM)
            self.process.stdout.close()
            self.process = None


class ByHand(Server):
    """raw, uv and event: PROGRAM PORT WORKERS HOW."""

    def __init__(self, program, workers, how):
        super().__init__(f"{os.path.basename(program)}-{how}", workers)
        self.program, self.how = program, how

    def command(self, directory):
        return [self.program, str(self.port), str(self.workers), self.how]


class Example(Server):
    """An example of c-examples/: echo on libdtm, with the loop of another library."""

    def __init__(self, program, workers):
        super().__init__("dtm-" + os.path.basename(program).removeprefix("echo_"), workers)
        self.program = program

    def command(self, directory):
        return [self.program, "--listen", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]

    def environment(self):
        return {"LIBDTM_LOG": f"info,file:{self.directory}/log"}

    def ready(self):
        try:
            with open(os.path.join(self.directory, "log")) as log:
                return len(re.findall("open for business", log.read())) >= self.workers
        except OSError:
            return False
