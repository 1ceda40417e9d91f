/*
 * wire.c - a connection, and one request on it at a time.
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OWNERS_MAX 1024

static const struct request {
    const char *kind, *text;
} requests[] = {
    {"http", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    {"who", "GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    {"echo", "These few words will come back.\n"},
};

static int epoll;
static struct sockaddr_in server = {.sin_family = AF_INET};
static const struct request *request = requests;
static size_t request_len;
static int wants_echo, wants_owner;
static char owners[OWNERS_MAX][32];
static int owners_count;

int64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void wire_init(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
}

int wire_target(const char *port, const char *kind)
{
    size_t i;

    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(port));
    for (i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if (strcmp(requests[i].kind, kind) == 0)
            request = &requests[i];
    request_len = strlen(request->text);
    wants_echo = strcmp(request->kind, "echo") == 0;
    wants_owner = strcmp(request->kind, "who") == 0;
    return strcmp(request->kind, kind) == 0 ? 0 : -EINVAL;
}

void wire_close(struct wire *wire)
{
    if (wire->state != CLOSED)
        close(wire->fd);
    wire->state = CLOSED;
}

static int failed(struct wire *wire, int error)
{
    wire_close(wire);
    return -error;
}

/* A connection that is not up yet answers EAGAIN, and is reported when it is. */
int wire_ask(struct wire *wire)
{
    wire->got = 0;
    if (send(wire->fd, request->text, request_len, MSG_NOSIGNAL) == (ssize_t)request_len)
        wire->state = ASKING;
    else if (errno != EAGAIN || wire->state != DIALING)
        return failed(wire, errno);
    return WIRE_WAIT;
}

int wire_dial(struct wire *wire)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = wire};

    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd < 0)
        return -errno;
    wire->state = DIALING;
    wire->owner = -1;
    wire->expected = 0;
    if (connect(wire->fd, (struct sockaddr *)&server, sizeof server) != 0 &&
        errno != EINPROGRESS)
        return failed(wire, errno);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, wire->fd, &event) != 0)
        return failed(wire, errno);
    return wire_ask(wire);
}

static int note_owner(const char *name)
{
    size_t len = strcspn(name, "\r\n");
    int i;

    for (i = 0; i < owners_count; i++)
        if (strlen(owners[i]) == len && memcmp(owners[i], name, len) == 0)
            return i;
    if (owners_count == OWNERS_MAX)
        owners_count = 0; /* of servers that are long gone */
    i = owners_count++;
    snprintf(owners[i], sizeof owners[i], "%.*s", (int)len, name);
    return i;
}

const char *wire_owner(int owner)
{
    return owner < 0 ? "?" : owners[owner];
}

/* The length of the whole answer; 0: cannot be told yet; negative: not what was asked for. */
static ssize_t answer_len(struct wire *wire)
{
    const char *body, *length;

    if (wants_echo)
        return (ssize_t)request_len;
    if (wire->got < 12)
        return 0;
    wire->reply[wire->got] = '\0';
    body = strstr(wire->reply, "\r\n\r\n");
    length = strcasestr(wire->reply, "\r\nContent-Length: ");
    if (memcmp(wire->reply, "HTTP/1.1 200", 12) != 0 || (body && !length))
        return -1;
    return body ? body + 4 - wire->reply + atol(length + 18) : 0;
}

/* A whole answer is in the buffer. */
static int take_answer(struct wire *wire)
{
    if (wants_echo && memcmp(wire->reply, request->text, request_len) != 0)
        return failed(wire, EPROTO);
    if (wants_owner && wire->owner < 0)
        wire->owner = note_owner(strstr(wire->reply, "\r\n\r\n") + 4);
    wire->state = IDLE;
    return WIRE_ANSWERED;
}

int wire_go_on(struct wire *wire)
{
    ssize_t n;

    if (wire->state == CLOSED)
        return WIRE_WAIT;
    if (wire->state == DIALING)
        return wire_ask(wire);
    n = recv(wire->fd, wire->reply + wire->got, sizeof wire->reply - 1 - wire->got, 0);
    if (n < 0 && errno == EAGAIN)
        return WIRE_WAIT;
    if (n <= 0)
        return failed(wire, n < 0 ? errno : ECONNRESET);
    wire->got += (size_t)n;
    if (wire->expected <= 0) /* the next answers on this connection are as long */
        wire->expected = answer_len(wire);
    if (wire->state != ASKING || wire->expected < 0 || wire->got == sizeof wire->reply - 1 ||
        (wire->expected > 0 && (ssize_t)wire->got > wire->expected))
        return failed(wire, EPROTO);
    return (ssize_t)wire->got == wire->expected ? take_answer(wire) : WIRE_WAIT;
}

int wire_wait(struct wire *ret_wires[WIRE_EVENTS], int64_t until_ns)
{
    static struct epoll_event events[WIRE_EVENTS];
    int64_t left = until_ns - now_ns();
    struct timespec time = {0, 0};
    int i, n;

    if (left > 0) {
        time.tv_sec = left / 1000000000;
        time.tv_nsec = left % 1000000000;
    }
    n = epoll_pwait2(epoll, events, WIRE_EVENTS, &time, NULL);
    for (i = 0; i < n; i++)
        ret_wires[i] = events[i].data.ptr;
    return n > 0 ? n : 0;
}

void losses_add(struct losses *losses, int error)
{
    if (error == -ECONNREFUSED)
        losses->refused++;
    else if (error == -ECONNRESET || error == -EPIPE)
        losses->reset++;
    else if (losses->other++ == 0)
        fprintf(stderr, "load: %s\n", strerror(-error));
}

void losses_print(const struct losses *losses)
{
    printf(",\"refused\":%" PRIu64 ",\"reset\":%" PRIu64 ",\"other\":%" PRIu64
           ",\"stuck\":%" PRIu64,
           losses->refused, losses->reset, losses->other, losses->stuck);
}
