"""hostile.py SOCKET ANSWER: a server that is no console. It takes connections one by one,
reads something, answers, hangs up. ANSWER: http, closed, silent, half, deep, redis, old."""

import os
import socket
import sys
import time

path, kind = sys.argv[1:]
ANSWERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "closed": b"",
    "half": b"%7\r\n$6\r\nserver\r\n$6\r\nlib",
    "deep": b"*1\r\n" * 100000,
    "redis": b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
    "old": b"-ERR unknown command 'HELLO'\r\n",
    "own": b"error unknown command \x1b[31m\n",
}
server = socket.socket(socket.AF_UNIX)
server.bind(path + ".new")
server.listen(8)
os.rename(path + ".new", path)
while True:
    client, _ = server.accept()
    client.recv(65536)
    if kind == "silent":
        time.sleep(60)
    try:
        client.sendall(ANSWERS[kind])
    except OSError:
        pass
    client.close()
