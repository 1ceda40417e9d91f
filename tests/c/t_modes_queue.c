#define _GNU_SOURCE /* SOCK_NONBLOCK */
/*
 * What waits to be accepted, in every accept mode: clients that have left by then, more
 * than there is room for, and changes while they wait. E03, E04, E06, A2
 * flow: L4, M8, W6
 */
#include "modes.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { WORKERS = 3, MANY = 12 };

static struct crowd crowd;

static void leave(void)
{
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* E03: they have connected, and reset, before anybody accepted them. */
static void gone_before(void)
{
    const struct linger abort_ = {.l_onoff = 1};
    int fds[2 * MANY];
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    for (int round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < WORKERS; i++)
            stop_kid(nth_open(i));
        for (int i = 0; i < 2 * MANY; i++)
            fds[i] = dial(shared->port[0]);
        for (int i = 0; i < 2 * MANY; i += 2) {
            CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &abort_, sizeof abort_), 0);
            hang_up(fds[i]);
        }
        for (uint32_t i = 0; i < WORKERS; i++)
            kill(nth_open(i)->pid, SIGCONT);
        for (int i = 1; i < 2 * MANY; i += 2)
            join(&crowd, fds[i]);
        part(&crowd, NULL);
    }
    settle(&crowd);
    WAIT(schedule().load_max == 0);
    CHECK_EQ(shared->accept.accepted, shared->opened);
    leave();
}

/* Connect without waiting for it. */
static int begin_dial(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)shared->port[0])};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&in, sizeof in) == 0 || errno == EINPROGRESS);
    return fd;
}

/* E04: more than the queue can hold, and all workers are stopped. What the kernel drops is
 * told, and in the log what to do. */
static void overflow(void)
{
    enum { CROWDED = 100 };
    int fds[CROWDED];
    struct service service = in_mode(WORKERS);
    service.backlog = 8;
    start_in_mode(&service);
    for (uint32_t i = 0; i < WORKERS; i++)
        stop_kid(nth_open(i));
    for (int i = 0; i < CROWDED; i++)
        fds[i] = begin_dial();
    WAIT(schedule().drops > 0);
    WAIT(logged("It needs a longer backlog"));
    uint64_t dropped = schedule().drops;
    for (uint32_t i = 0; i < WORKERS; i++)
        kill(nth_open(i)->pid, SIGCONT);
    for (int i = 0; i < CROWDED; i++) {
        struct pollfd pollfd = {.fd = fds[i], .events = POLLOUT};
        WAIT(poll(&pollfd, 1, 0) == 1); /* the kernel tries again after a second */
        say(fds[i], "done");
        pollfd.events = POLLIN;
        WAIT(poll(&pollfd, 1, 0) == 1);
        hang_up(fds[i]);
    }
    settle(&crowd);
    CHECK(serves());
    WAIT(schedule().load_max == 0);
    CHECK_LE(dropped, schedule().drops);
    leave();
}

static void block_all(int *ret_fds, int workers)
{
    for (int i = 0; i < workers; i++) {
        say(ret_fds[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
}

/* E06: connections that came while nobody of the old generation looked are the new
 * one's, wherever they were queued. */
static void at_a_reload(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    start(&service);
    const struct kid *old[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
    for (int i = 0; i < WORKERS; i++)
        stop_kid(old[i]);
    call(fds, MANY);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_answered(fds, MANY) == MANY);
    for (int i = 0; i < WORKERS; i++)
        kill(old[i]->pid, SIGCONT);
    hear_all(fds, MANY, NULL);
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
    leave();
}

/* Blocked ones are among those that have to go. */
static void at_a_resize(void)
{
    int block[4], fds[3 * MANY];
    struct service service = in_mode(4);
    start(&service);
    block_all(block, 4);
    call(fds, 3 * MANY);
    CHECK_EQ(command("scale 1"), DTM_OK);
    SET(shared->unblock, 1);
    hear_all(block, 4, NULL);
    hear_all(fds, 3 * MANY, NULL);
    WAIT(count_role(DTM_ROLE_WORKER) == 1);
    CHECK(serves());
    leave();
}

/* At the end of the service what waits is served: the last that leave see to it. */
static void at_the_end(void)
{
    int block[WORKERS], fds[MANY];
    struct service service = in_mode(WORKERS);
    start(&service);
    block_all(block, WORKERS);
    call(fds, MANY);
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    WAIT(count_open(0) == 0);
    SET(shared->unblock, 1);
    hear_all(block, WORKERS, NULL);
    hear_all(fds, MANY, NULL);
    ended_well();
}

static const struct test tests[] = {
    {"gone before they are accepted", gone_before},
    {"the queue overflows", overflow},
    {"at a reload", at_a_reload},
    {"at a resize", at_a_resize},
    {"at the end", at_the_end},
};
MODES_MAIN(tests)
