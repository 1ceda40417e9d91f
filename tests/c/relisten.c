#include "relisten.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct plan *plan;

static int32_t load(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    (void)path, (void)user_data;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role != DTM_ROLE_MASTER) {
        listen.address = "unix:@nobody";
        plan->in_controller = dtm_listen(rt, &listen);
        return DTM_OK;
    }
    int index[PLACES], port[PLACES];
    for (int i = 0; i < PLACES; i++) {
        index[i] = -1, port[i] = 0;
        if (!plan->address[i][0])
            continue;
        listen.address = plan->address[i];
        listen.tag = plan->tag[i];
        listen.backlog = plan->backlog;
        listen.mode = strncmp(listen.address, "unix:", 5) ? 0 : plan->unix_mode;
        index[i] = dtm_listen(rt, &listen);
        if (index[i] < 0)
            return index[i];
        port[i] = dtm_listen_port(rt, (uint32_t)index[i]);
    }
    for (int i = 0; i < PLACES; i++)
        if (plan->index[i] >= 0 && strcmp(plan->old[i], plan->address[i])) {
            int code = dtm_unlisten(rt, (uint32_t)plan->index[i]);
            if (code < 0)
                return code;
            plan->after = dtm_unlisten(rt, (uint32_t)plan->index[i]);
        }
    if (plan->vanishes[0]) {
        char gone[160];
        snprintf(gone, sizeof gone, "%s.gone", plan->vanishes);
        CHECK_EQ(rename(plan->vanishes, gone), 0);
    }
    if (plan->fails)
        return -plan->fails;
    memcpy(plan->index, index, sizeof index);
    memcpy(plan->port, port, sizeof port);
    memcpy(plan->old, plan->address, sizeof plan->old);
    return DTM_OK;
}

/* The plan that a failed reload has not carried out. */
void as_before(void)
{
    memcpy(plan->address, plan->old, sizeof plan->old);
}

void want(int place, const char *address)
{
    snprintf(plan->address[place], sizeof plan->address[place], "%s", address);
}

const char *unix_place(const char *name)
{
    static char address[2][128];
    static int turn;
    char *text = address[turn ^= 1];
    snprintf(text, sizeof address[0], "unix:%s/%s", scratch(), name);
    return text;
}

/* Connected or, without waiting, on its way; -1 and errno. */
int try_at(int place, const char *address, int port, int flags)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)place);
    (void)address;
    struct timeval limit = {.tv_sec = 30};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int dial_at(int place)
{
    if (!strncmp(plan->old[place], "unix:", 5))
        return dial_address(plan->old[place]);
    int fd = try_at(place, plan->old[place], plan->port[place], 0);
    if (fd < 0)
        fail_at(__FILE__, __LINE__, "connect to %s: %s", plan->old[place], strerror(errno));
    return fd;
}

/* It is answered there, as the listener that the plan says. */
void answers(int place)
{
    char expected[64];
    int fd = dial_at(place);
    snprintf(expected, sizeof expected, "%d %llu", plan->index[place],
             (unsigned long long)plan->tag[place]);
    const char *answer = ask(fd, "tag");
    if (strcmp(answer, expected))
        fail_at(__FILE__, __LINE__, "%s: '%s', expected '%s'", plan->old[place], answer,
                expected);
    hang_up(fd);
}

/* Nobody listens there, after a moment at the latest. */
bool is_refused(int place, int port)
{
    int fd = try_at(place, "", port, SOCK_NONBLOCK);
    if (fd < 0)
        return errno == ECONNREFUSED;
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;
    if (poll(&pollfd, 1, 1000) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    close(fd);
    return error == ECONNREFUSED;
}

struct service with_plan(uint32_t workers)
{
    plan = shared_memory(sizeof *plan);
    for (int i = 0; i < PLACES; i++)
        plan->index[i] = -1, plan->tag[i] = 200 + (uint64_t)i;
    struct service service = in_mode(workers);
    service.callbacks.config_load = load;
    return service;
}

/* Place N is at 127.0.0.N+1; the harness has a listener of its own at 127.0.0.1. */
void four_places(void)
{
    want(1, "127.0.0.2:0");
    want(2, "127.0.0.3:0");
    want(3, unix_place("old"));
}
