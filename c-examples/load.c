/*
 * load.c - asks an echo server as fast as it can, and accounts for every request.
 *
 * Half of the clients open a connection for each request, half keep theirs. A
 * server may close an idle connection while the next request is on its way to
 * it (when it is reloaded, say): such a request was never read. It is sent again
 * on a new connection and counted as "sent again". Any other request without
 * its answer is lost, and then the exit status is 1. With --hold the clients come
 * one after the other, ask once, and stay.
 */
#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 1000
#define PATIENCE_MS 5000 /* a request without an answer after this time is lost */

static struct client {
    int keeps;        /* keeps its connection */
    int connected;    /* connect() has succeeded */
    int in_flight;    /* the request has no answer yet */
    unsigned answers; /* on this connection */
    int64_t since;    /* when the request was made, or when to make the next */
    size_t len, got;
    char request[32];
} clients[CLIENTS_MAX];

static struct pollfd fds[CLIENTS_MAX];
static struct addrinfo *server;
static volatile sig_atomic_t stopping;
static int holds;
static int64_t now; /* ms */
static unsigned long sent, answered, lost, refused, reset, again, connections;

static void stop(int signo)
{
    (void)signo;
    stopping = 1;
}

static void tick(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    now = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void hang_up(int i)
{
    if (fds[i].fd >= 0)
        close(fds[i].fd);
    fds[i].fd = -1;
    clients[i].connected = 0;
    clients[i].answers = 0;
}

static void lose(int i, const char *how, int error)
{
    if (++lost <= 5)
        fprintf(stderr, "load: lost a request: %s: %s\n", how, strerror(error));
    refused += error == ECONNREFUSED;
    reset += error == ECONNRESET || error == EPIPE;
    hang_up(i);
    clients[i].in_flight = 0;
    clients[i].since = now + 10;
}

/* The connection ended before the answer. */
static void broken(int i, const char *how, int error)
{
    if (clients[i].answers == 0 || clients[i].got > 0) {
        lose(i, how, error);
        return;
    }
    again++;
    hang_up(i);
}

static void dial(int i)
{
    int fd = socket(server->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, server->ai_addr, server->ai_addrlen) != 0 &&
        errno != EINPROGRESS) {
        if (errno != EADDRNOTAVAIL) /* no free port for the moment: it waits for one */
            lose(i, "connect", errno);
        close(fd);
        return;
    }
    fds[i].fd = fd;
    fds[i].events = POLLOUT;
    connections += fd >= 0;
}

static void ask(int i)
{
    struct client *c = &clients[i];

    c->got = 0;
    fds[i].events = POLLIN;
    if (send(fds[i].fd, c->request, c->len, MSG_NOSIGNAL) != (ssize_t)c->len)
        broken(i, "send", errno);
}

/* Make a request, and bring it on its way; not where the server has hung up meanwhile. */
static void begin(int i)
{
    struct client *c = &clients[i];
    char byte;

    if (fds[i].fd >= 0 && recv(fds[i].fd, &byte, 1, MSG_PEEK) == 0)
        hang_up(i);
    if (!c->in_flight) {
        c->len = (size_t)sprintf(c->request, "request %lu\n", ++sent);
        c->in_flight = 1;
        c->since = now;
    }
    if (fds[i].fd < 0)
        dial(i);
    else
        ask(i);
}

static void hear(int i)
{
    struct client *c = &clients[i];
    char reply[sizeof c->request];
    ssize_t n = recv(fds[i].fd, reply, sizeof reply, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        broken(i, "closed without an answer", n < 0 ? errno : ECONNRESET);
    } else if (c->got + (size_t)n > c->len || memcmp(c->request + c->got, reply, (size_t)n)) {
        lose(i, "wrong answer", EPROTO);
    } else if ((c->got += (size_t)n) == c->len) {
        answered++;
        c->answers++;
        c->in_flight = 0;
        if (stopping || (!holds && !c->keeps))
            hang_up(i);
        else if (!holds)
            begin(i);
    }
}

static void connected(int i)
{
    socklen_t len = sizeof(int);
    int error = 0;

    getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
    clients[i].connected = error == 0;
    if (error)
        lose(i, "connect", error);
    else
        ask(i);
}

/* May it make its next request? */
static int may_begin(int i)
{
    return fds[i].fd < 0 && (clients[i].in_flight || !stopping) && now >= clients[i].since &&
           (!holds || i == 0 || clients[i - 1].answers > 0);
}

/* One round over all clients; 0 when there is nothing left to do. */
static int go_round(int n)
{
    int i, open = 0;

    tick();
    for (i = 0; i < n; i++) {
        if (clients[i].in_flight && now - clients[i].since > PATIENCE_MS)
            lose(i, "no answer", ETIMEDOUT);
        else if (may_begin(i))
            begin(i);
        else if (stopping && !clients[i].in_flight)
            hang_up(i);
        open += fds[i].fd >= 0 || clients[i].in_flight;
    }
    poll(fds, (nfds_t)n, 10);
    for (i = 0; i < n; i++) {
        if (fds[i].fd < 0 || !fds[i].revents)
            continue;
        if (clients[i].connected)
            hear(i);
        else
            connected(i);
    }
    return open > 0 || !stopping;
}

static const char help[] =
    "load - asks an echo server as fast as it can, and accounts for every request\n"
    "  --connect ADDR  127.0.0.1:7000 or [::1]:7000 (127.0.0.1:7000)\n"
    "  --clients N     half of them connect anew for each request (20)\n"
    "  --hold          they come one after the other, ask once, and stay\n"
    "  --seconds N     how long; SIGTERM ends it, too (10)\n";

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1:7000";
    uint32_t number = 20, seconds = 10;
    const struct option options[] = {
        {"--connect", &address, NULL, NULL},
        {"--clients", NULL, &number, NULL},
        {"--hold", NULL, NULL, &holds},
        {"--seconds", NULL, &seconds, NULL},
        {NULL, NULL, NULL, NULL},
    };
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    char host[64] = "", port[8] = "";
    int64_t start;
    int i;

    options_parse(argc, argv, options, help);
    if (sscanf(address, "[%63[^]]]:%7s", host, port) != 2)
        sscanf(address, "%63[^:]:%7s", host, port);
    if (getaddrinfo(host, port, &hints, &server) != 0)
        options_fail("--connect", "needs an address like 127.0.0.1:7000", help);
    if (number < 1 || number > CLIENTS_MAX)
        options_fail("--clients", "needs a number from 1 to 1000", help);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    for (i = 0; i < (int)number; i++) {
        fds[i].fd = -1;
        clients[i].keeps = i % 2;
    }
    tick();
    for (start = now; go_round((int)number);)
        stopping |= now - start >= (int64_t)seconds * 1000;
    printf("%lu requests, %lu answered, %lu lost (%lu refused, %lu reset), %lu sent again; "
           "%lu connections, %lu requests/s\n",
           sent, answered, lost, refused, reset, again, connections,
           answered * 1000 / (unsigned long)(now - start + 1));
    freeaddrinfo(server);
    return lost > 0;
}
