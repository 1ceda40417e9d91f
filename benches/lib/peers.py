"""nginx and HAProxy, with configurations of our own: never the system's service."""

import os
import signal
import time

from . import process
from .servers import Server


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
        return [self.program, "-p", directory, "-e", "error.log", "-c", f"{directory}/conf"]

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
    maxconn 8000
defaults
    mode http
    timeout client 1h
    timeout http-keep-alive 1h
    timeout http-request 1h
frontend bench
    bind 127.0.0.1:{self.port} backlog 4096
    acl who path /who
    http-request return status 200 content-type text/plain lf-string "%[thread]\\n" if who
    http-request return status 200 content-type text/plain string "Hello, world\\n"
""")
        return [self.program, "-db", "-f", os.path.join(directory, "conf")]

    def ready(self):
        return self.answers()
