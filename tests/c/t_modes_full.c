/*
 * No room, in every accept mode: out of descriptors, without listeners, full. B05, B06
 * flow: L4, W6
 */
#include "modes.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 3, MANY = 12 };

static struct crowd crowd;

static void leave(void)
{
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* B05: no descriptor for one worker. Its clients go on, new ones go to others, it tries
 * again now and then, and comes back by itself. */
static void no_descriptors_in_one(void)
{
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    come(&crowd, 1);
    struct kid *kid = crowd.kid[0];
    limit_files(kid->pid, 3);
    come(&crowd, 2 * MANY);
    CHECK_EQ(share(&crowd, kid), 1);
    uint64_t errors = schedule().errors;
    observe(300); /* nothing marks the end of what must not happen */
    CHECK_EQ(who(crowd.fd[0]).pid, kid->pid);
    come(&crowd, MANY);
    CHECK_LE(schedule().errors, errors + 10 + MANY);
    limit_files(kid->pid, UINT64_MAX);
    joins_in(&crowd, kid);
    leave();
}

/* For none of them: what comes waits. */
static void no_descriptors(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    come(&crowd, 1);
    for (uint32_t i = 0; i < WORKERS; i++)
        limit_files(nth_open(i)->pid, 3);
    call(fds, MANY);
    WAIT(schedule().errors > 0);
    uint64_t errors = shared->accept.errors;
    observe(300);
    CHECK_LE(schedule().errors, errors + WORKERS * 10);
    CHECK(logged("oo many open files"));
    CHECK_EQ(who(crowd.fd[0]).pid, crowd.kid[0]->pid);
    CHECK_EQ(GET(shared->opened), 1);
    for (uint32_t i = 0; i < WORKERS; i++)
        limit_files(nth_open(i)->pid, UINT64_MAX);
    hear_all(fds, MANY, NULL);
    leave();
}

/* For the master, which accepts in some modes: the same. */
static void no_descriptors_in_the_master(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    come(&crowd, 1);
    limit_files(shared->host, 3);
    call(fds, MANY);
    if (mode->number == DTM_ACCEPT_PASS)
        WAIT(logged("oo many open files"));
    else
        WAIT(count_answered(fds, MANY) == MANY);
    uint64_t errors = schedule().errors;
    observe(300);
    CHECK_LE(schedule().errors, errors + 10);
    who(crowd.fd[0]);
    limit_files(shared->host, UINT64_MAX);
    hear_all(fds, MANY, NULL);
    leave();
}

static int32_t close_listeners(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                               size_t size)
{
    (void)rt, (void)client, (void)reply, (void)size;
    if (strcmp(line, "close listeners") != 0)
        return NOT_MINE;
    for (int fd = 3; fd < 1024; fd++) {
        int listens = 0;
        socklen_t len = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
            close(fd);
    }
    return DTM_READ;
}

static bool leaves(const struct kid *kid)
{
    one_more(&crowd);
    return has(kid, DTM_EVENT_EXIT);
}

/* B06: the service has closed what is not its own. Whoever cannot accept any more
 * leaves when it would have to; all clients are served, and so is what it left behind. */
static void no_listeners_in_one(void)
{
    struct service service = in_mode(WORKERS);
    service.request = close_listeners;
    start(&service);
    come(&crowd, 1);
    struct kid *kid = crowd.kid[0];
    ask(crowd.fd[0], "close listeners");
    if (mode->number == DTM_ACCEPT_PASS) { /* it has no use for them */
        come(&crowd, MANY);
        return leave();
    }
    WAIT(leaves(kid));
    CHECK_EQ(kid->status, DTM_EXIT_FDS << 8);
    WAIT(count_open(1) == WORKERS);
    part(&crowd, NULL);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static void with_most(struct service *service, uint32_t clients)
{
    service->config.max_clients = clients;
}

/* One worker has all that it may: the others get what comes. */
static void one_is_full(void)
{
    struct service service = in_mode(WORKERS);
    with_most(&service, 5);
    start_in_mode(&service);
    struct kid *kid = nth_open(1);
    stop_kid(nth_open(0));
    stop_kid(nth_open(2));
    WAIT(schedule().willing == 1);
    come(&crowd, 5);
    CHECK_EQ(share(&crowd, kid), 5);
    kill(nth_open(0)->pid, SIGCONT);
    kill(nth_open(2)->pid, SIGCONT);
    WAIT(schedule().willing == 2);
    come(&crowd, 10);
    CHECK_EQ(share(&crowd, kid), 5);
    CHECK_EQ(schedule().willing, 0);
    /* And it is not left out afterwards, because it was full when the others came back. */
    part(&crowd, NULL);
    settle(&crowd);
    for (int tries = 0; mode->all && one_more(&crowd) != kid; tries++)
        CHECK_LE(tries, 200);
    leave();
}

/* All of them: the queue waits, and that is told; each client that leaves lets one in. */
static void all_are_full(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    with_most(&service, 4);
    start_in_mode(&service);
    come(&crowd, WORKERS * 4);
    call(fds, MANY);
    WAIT(schedule().depth == MANY && shared->accept.waiting_ms > 0);
    CHECK_EQ(shared->accept.willing, 0);
    CHECK_EQ(GET(shared->opened), WORKERS * 4);
    CHECK_EQ(count_answered(fds, MANY), 0);
    hang_up(crowd.fd[--crowd.size]);
    WAIT(count_answered(fds, MANY) == 1);
    part(&crowd, NULL);
    hear_all(fds, MANY, NULL);
    WAIT(schedule().willing == WORKERS);
    WAIT(schedule().waiting_ms == 0);
    leave();
}

/* Full and not full a thousand times: no change of that is missed. */
static void full_again_and_again(void)
{
    struct service service = in_mode(WORKERS);
    with_most(&service, 2);
    start_in_mode(&service);
    struct load *load = load_start(8);
    WAIT(GET(load->answered) >= 3000);
    load_stop(load);
    lost_nothing(load);
    WAIT(schedule().willing == WORKERS);
    leave();
}

/* Out of descriptors and not, one worker after the other, the master too. */
static void descriptors_come_and_go(void)
{
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < 4 * (WORKERS + 1); i++) {
        uint32_t n = i % (WORKERS + 1);
        pid_t pid = n < WORKERS ? nth_open(n)->pid : shared->host;
        int before = GET(load->answered);
        limit_files(pid, 3);
        WAIT(GET(load->answered) > before + 20 || pid == shared->host);
        limit_files(pid, UINT64_MAX);
        WAIT(GET(load->answered) > before + 40);
    }
    load_stop(load);
    lost_nothing(load);
    leave();
}

static const struct test tests[] = {
    {"no descriptors in one worker", no_descriptors_in_one},
    {"no descriptors in any worker", no_descriptors},
    {"no descriptors in the master", no_descriptors_in_the_master},
    {"no listeners in one worker", no_listeners_in_one},
    {"one worker is full", one_is_full},
    {"all workers are full", all_are_full},
    {"full again and again", full_again_and_again},
    {"descriptors come and go", descriptors_come_and_go},
};
MODES_MAIN(tests)
