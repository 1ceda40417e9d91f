"""The network that the bench runs in: where possible one of its own."""

import fcntl
import os
import socket
import struct

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def prepare():
    """In a new network namespace: loopback is down, and settings are our own."""
    with socket.socket() as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16xh14x", fcntl.ioctl(probe, SIOCGIFFLAGS, request))[0]
        if flags & IFF_UP:
            return  # the machine's own network: it is not ours to change
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    # Connections that ended long ago must cost nothing in somebody else's slice.
    for name, value in (("tcp_max_tw_buckets", 0), ("ip_local_port_range", "1024 65535")):
        with open(os.path.join("/proc/sys/net/ipv4", name), "w") as file:
            file.write(str(value))
