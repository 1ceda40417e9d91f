/*
 * instructions PORT CONNECTIONS ROUNDS: asks the echo service on this port for one byte
 * per connection and round. PORT CONNECTIONS ROUNDS anew: on a new connection each time.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256

static void must(int success, const char *what)
{
    if (!success) {
        perror(what);
        exit(1);
    }
}

static int connect_to(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((unsigned short)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    must(fd >= 0, "socket");
    must(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
    return fd;
}

int main(int argc, char **argv)
{
    int fds[CONNECTIONS_MAX], port, connections, rounds, anew, i;
    char byte = 'x';

    if (argc < 4 || (connections = atoi(argv[2])) > CONNECTIONS_MAX)
        return 2;
    port = atoi(argv[1]);
    rounds = atoi(argv[3]);
    anew = argc > 4 && strcmp(argv[4], "anew") == 0;

    for (i = 0; i < connections; i++)
        fds[i] = connect_to(port);
    while (rounds-- > 0) {
        for (i = 0; i < connections; i++)
            must(send(fds[i], &byte, 1, MSG_NOSIGNAL) == 1, "send");
        for (i = 0; i < connections; i++) {
            must(recv(fds[i], &byte, 1, 0) == 1, "recv");
            if (anew) {
                close(fds[i]);
                fds[i] = connect_to(port);
            }
        }
    }
    return 0;
}
