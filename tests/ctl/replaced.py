"""replaced.py SOCKET N: a console whose binary is replaced again and again. Each connection
gets N answers behind HELLO's; then it is told that it is gone, and closed."""

import os
import socket
import sys

path, many = sys.argv[1], int(sys.argv[2])
STATUS = b"%3\r\n$5\r\nstate\r\n$9\r\nreloading\r\n$5\r\nready\r\n#t\r\n$14\r\nworkers_wanted\r\n:0\r\n"
ANSWERS = {b"STATUS": STATUS, b"WORKERS": b"*0\r\n", b"RELOAD": b"+it serves\r\n"}
server = socket.socket(socket.AF_UNIX)
server.bind(path + ".new")
server.listen(8)
os.rename(path + ".new", path)


def commands(client):
    """Each command's first word; dtmctl waits for each answer."""
    while data := client.recv(65536):
        yield data.split(b"\r\n")[2].upper()


while True:
    client, _ = server.accept()
    left = many
    for word in commands(client):
        if word == b"HELLO":
            client.sendall(b"%1\r\n$6\r\nserver\r\n$6\r\nlibdtm\r\n")
            continue
        if left == 0:
            client.sendall(b"-GONE this binary was replaced: connect again\r\n")
            break
        left -= 1
        client.sendall(ANSWERS.get(word, b"+OK\r\n"))
    client.close()
