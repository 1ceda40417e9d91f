"""The servers of the bench: each our own child, on a port of its own."""

import os
import re
import select
import signal
import socket
import subprocess
import time

from . import process

OPEN, EXIT, RELOAD, CONFIG, FORK = 3, 5, 6, 7, 1  # DTM_EVENT_*
WORKER = 4  # DTM_ROLE_WORKER


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

    def __init__(self, name, workers):
        self.name, self.workers, self.port = name, workers, free_port()
        self.process = None

    def command(self, directory):
        raise NotImplementedError

    def environment(self):
        return None

    def start(self, directory, cpus):
        self.directory = os.path.join(directory, f"{self.name}.{self.workers}.{self.port}")
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, "stderr"), "w") as stderr:
            self.process = subprocess.Popen(
                self.command(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self.environment(),
                cwd=self.directory,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
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


class Dtm(Server):
    """The same service on libdtm. Its standard output is a line per life event."""

    def __init__(self, program, workers, mode="auto", **settings):
        super().__init__(f"dtm-{mode}", workers)
        self.program, self.mode, self.settings = program, mode, settings
        self.events, self.text, self.open = [], b"", 0

    def command(self, directory):
        self.configure(self.mode)
        return [self.program, str(self.port), os.path.join(directory, "conf")]

    def environment(self):
        return {**os.environ, "LIBDTM_LOG": f"info,file:{self.directory}/log"}

    def configure(self, mode):
        settings = {
            "workers": self.workers,
            "accept_mode": mode,
            "max_processes": 2 * self.workers + 32,
            **self.settings,
        }
        with open(os.path.join(self.directory, "conf"), "w") as conf:
            conf.write("[dtm]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))

    def read_events(self, timeout=0.0):
        while select.select([self.process.stdout], [], [], timeout)[0]:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self.text += data
            timeout = 0
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            at, *rest = line.split()
            self.events.append((float(at), *map(int, rest)))

    def times(self, *kinds):
        """When events of these kinds happened to workers, or to the service."""
        return [at for at, kind, role, *_ in self.events if kind in kinds and role in (0, WORKER)]

    def open_times(self):
        return [at for at, kind, role, *_ in self.events if kind == OPEN and role == WORKER]

    def count(self, kind):
        self.read_events()
        return len(self.times(kind))

    def wait_for(self, kind, count, patience=10.0):
        """Until so many of these events have happened; the status of the last one."""
        deadline = time.monotonic() + patience
        while self.count(kind) < count:
            if self.process.poll() is not None:
                raise Refused(self.complaint())
            if time.monotonic() > deadline:
                raise Refused("it took too long")
            self.read_events(0.05)
        return [event for event in self.events if event[1] == kind][count - 1][6]

    def ready(self):
        return self.process.poll() is None and self.count(OPEN) >= self.workers

    def worker_pids(self):
        """Those that serve: open, and not dead."""
        self.read_events()
        serving = {}
        for _, kind, role, _, _, pid, _ in self.events:
            if role == WORKER and kind == OPEN:
                serving[pid] = True
            elif role == WORKER and kind in (EXIT, 4):
                serving.pop(pid, None)
        return list(serving)

    def log(self):
        with open(os.path.join(self.directory, "log")) as log:
            return log.read()

    def reload(self):
        done = self.count(RELOAD)
        process.kill(self.process.pid, signal.SIGHUP)
        return self.wait_for(RELOAD, done + 1)

    def grow(self):
        opened = self.count(OPEN)
        process.kill(self.process.pid, signal.SIGTTIN)
        self.wait_for(OPEN, opened + 1)

    def shrink(self):
        gone = self.count(EXIT)
        process.kill(self.process.pid, signal.SIGTTOU)
        self.wait_for(EXIT, gone + 1)

    def switch(self, mode):
        loaded = self.count(CONFIG)
        self.configure(mode)
        process.kill(self.process.pid, signal.SIGALRM)
        return self.wait_for(CONFIG, loaded + 1)


class Nginx(Server):
    """accept: default (a shared listener), mutex or reuseport."""

    def __init__(self, program, workers, accept="default"):
        super().__init__("nginx" if accept == "default" else f"nginx-{accept}", workers)
        self.program, self.accept = program, accept

    def configure(self):
        reuseport = " reuseport" if self.accept == "reuseport" else ""
        with open(os.path.join(self.directory, "conf"), "w") as conf:
            conf.write(f"""
user root; daemon off; worker_processes {self.workers}; pid {self.directory}/pid;
error_log {self.directory}/error.log warn;
events {{ worker_connections 8192; accept_mutex {"on" if self.accept == "mutex" else "off"}; }}
http {{
    access_log off; default_type text/plain; keepalive_timeout 1h; keepalive_requests 1000000000;
    client_body_temp_path {self.directory}/a; proxy_temp_path {self.directory}/b;
    fastcgi_temp_path {self.directory}/c; uwsgi_temp_path {self.directory}/d;
    scgi_temp_path {self.directory}/e;
    server {{
        listen 127.0.0.1:{self.port}{reuseport} backlog=4096;
        location / {{ return 200 "Hello, world\\n"; }}
        location /who {{ return 200 "$pid\\n"; }}
    }}
}}
""")

    def command(self, directory):
        self.configure()
        return [self.program, "-p", directory, "-e", "error.log", "-c", os.path.join(directory, "conf")]

    def reload(self):
        """Until all workers are new and the old ones are gone."""
        old = set(self.worker_pids())
        process.kill(self.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            now = set(self.worker_pids())
            if len(now) == self.workers and not now & old:
                return 0
            time.sleep(0.002)
        return -1


class Haproxy(Server):
    """One process, `workers` threads."""

    def __init__(self, program, workers):
        super().__init__("haproxy", workers)
        self.program = program

    def command(self, directory):
        with open(os.path.join(directory, "conf"), "w") as conf:
            conf.write(f"""
global
    nbthread {self.workers}
    maxconn 10000
defaults
    mode http
    timeout client 1h
    timeout http-keep-alive 1h
    timeout http-request 1h
frontend bench
    bind 127.0.0.1:{self.port} backlog 4096
    http-request return status 200 content-type text/plain lf-string "%[pid].%[thread]" if {{ path /who }}
    http-request return status 200 content-type text/plain string "Hello, world"
""")
        return [self.program, "-db", "-f", os.path.join(directory, "conf")]

    def ready(self):
        return self.answers()


class Example(Server):
    """An example of c-examples/: echo on libdtm, with the loop of another library."""

    def __init__(self, program, workers):
        super().__init__("dtm-" + os.path.basename(program).removeprefix("echo_"), workers)
        self.program = program

    def command(self, directory):
        return [self.program, "--listen", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]

    def environment(self):
        return {**os.environ, "LIBDTM_LOG": f"info,file:{self.directory}/log"}

    def ready(self):
        try:
            with open(os.path.join(self.directory, "log")) as log:
                return len(re.findall("open for business", log.read())) >= self.workers
        except OSError:
            return False
