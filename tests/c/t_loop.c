/*
 * A service that keeps its own event loop.
 * flow: W3, W4, W7, W9, W10
 * valgrind: yes
 */
#include "peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAINS, RETURNED, OWN_EVENTS, RELEASED, HANGING };

static int own = -1; /* this worker's own epoll */
static dtm_t *runtime;

static void own_add(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    CHECK_EQ(epoll_ctl(own, EPOLL_CTL_ADD, fd, &event), 0);
}

/* A client that the service polls by itself. */
static void own_event(dtm_client_t *client)
{
    char text[64];
    int fd = dtm_client_fd(client);
    ADD(shared->custom[OWN_EVENTS], 1);
    ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
    if (n < 0)
        return;
    while (n >= 4 && strncmp(text, "hang", 4) == 0)
        ADD(shared->custom[HANGING], 1);
    if (n >= 5 && strncmp(text, "leave", 5) == 0)
        CHECK_EQ(dtm_leave(runtime), DTM_OK);
    if (n >= 3 && strncmp(text, "pid", 3) == 0)
        n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (n > 0) {
        CHECK_EQ(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
        dtm_client_set_busy(client, 0);
        return;
    }
    CHECK_EQ(dtm_client_release(client), fd);
    CHECK_EQ(dtm_client_close(client), DTM_EGONE);
    ADD(shared->custom[RELEASED], 1);
    CHECK_EQ(close(fd), 0);
}

static int32_t own_loop(dtm_t *rt, void *user_data)
{
    struct epoll_event events[8];
    int32_t code = 0;
    CHECK(user_data == shared);
    ADD(shared->custom[MAINS], 1);
    runtime = rt;
    own = epoll_create1(EPOLL_CLOEXEC);
    own_add(dtm_loop_fd(rt), NULL);
    while (code == 0) {
        int n = epoll_wait(own, events, 8, -1), due = 0;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                own_event(events[i].data.ptr);
            else
                due = 1;
        }
        if (due)
            code = dtm_loop_dispatch(rt, 0);
    }
    CHECK_EQ(code, DTM_EGONE);
    ADD(shared->custom[RETURNED], 1);
    close(own);
    return 0;
}

static void exercise(void)
{
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    struct load *load = load_start(2);
    end_kid(kid, SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK(!hear(fd));
    hang_up(fd);
    CHECK_EQ(command("send %llu version 3", (unsigned long long)nth_open(0)->spawn), DTM_OK);
    WAIT(GET(nth_open(0)->version) == 3);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    finish();
    CHECK_EQ(shared->result.killed, 0);
    CHECK_EQ(shared->result.deaths, 1);
    CHECK_EQ(shared->custom[MAINS], 3 + 1 + 3);
    CHECK_EQ(shared->custom[RETURNED], 3 + 3);
}

/* The service polls, libdtm drives the clients. */
static void inside_another_loop(void)
{
    struct service service = a_service();
    service.callbacks.worker_main = own_loop;
    service.config.worker_tick_ms = 5;
    service.config.hang_timeout_ms = 2000; /* nobody hangs */
    start(&service);
    struct kid *kid = nth_open(0);
    int ticks = GET(kid->ticks);
    WAIT(GET(kid->ticks) > ticks + 3); /* timers make dtm_loop_fd() readable */
    int fd = dial_worker(kid);
    ask(fd, "timeout 20");
    CHECK(!hear(fd));
    hang_up(fd);
    exercise();
}

static int32_t blocking_loop(dtm_t *rt, void *user_data)
{
    (void)user_data;
    ADD(shared->custom[MAINS], 1);
    while (dtm_loop_dispatch(rt, -1) == 0)
        ;
    ADD(shared->custom[RETURNED], 1);
    return 0;
}

/* worker_main as a plain loop around dtm_loop_dispatch(). */
static void blocking(void)
{
    struct service service = a_service();
    service.callbacks.worker_main = blocking_loop;
    start(&service);
    exercise();
}

static int32_t take_client(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(shared->opened, 1);
    own_add(dtm_client_fd(client), client);
    return DTM_TAKEN;
}

static void client_ended(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)user_data;
    CHECK_EQ(epoll_ctl(own, EPOLL_CTL_DEL, dtm_client_fd(client), NULL), 0);
    ADD(shared->closed[reason], 1);
}

/* It polls its clients itself, beside libdtm's descriptor. */
static struct service polling(void)
{
    struct service service = a_service();
    service.callbacks.worker_main = own_loop;
    service.callbacks.client_open = take_client;
    service.callbacks.client_step = NULL;
    service.callbacks.client_close = client_ended;
    return service;
}

/* DTM_TAKEN: the service polls its clients itself; libdtm counts and drains them. */
static void taken(void)
{
    struct service service = polling();
    start(&service);
    int a = dial(shared->port[0]), b = dial(shared->port[0]);
    CHECK(!strcmp(ask(a, "echo"), "echo") && !strcmp(ask(b, "echo"), "echo"));
    CHECK(shared->custom[OWN_EVENTS] >= 2);
    hang_up(a);
    WAIT(GET(shared->custom[RELEASED]) == 1);
    CHECK_EQ(command("reload"), DTM_OK); /* b is idle: the drain closes it */
    CHECK(!hear(b));
    hang_up(b);
    WAIT(GET(shared->closed[DTM_CLOSE_DRAIN]) == 1);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.killed, 0);
    CHECK_EQ(shared->closed[DTM_CLOSE_ASKED], 0);
}

/* What the others know of a worker is true although it makes no pass. */
static void load_between_passes(void)
{
    struct service service = polling();
    service.config.workers = 1;
    start(&service);
    int a = dial(shared->port[0]), b = dial(shared->port[0]);
    CHECK(ask(a, "echo") && ask(b, "echo"));
    command("accept 0");
    CHECK_EQ(shared->accept.load_max, 2);
    hang_up(a);
    WAIT(command("accept 0") == DTM_OK && shared->accept.load_max == 1);
    hang_up(b);
    WAIT(command("accept 0") == DTM_OK && shared->accept.load_max == 0);
    finish();
}

/* dtm_leave() in the service's own loop, where no pass of libdtm's is under way. */
static void leaving(void)
{
    struct service service = polling();
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "leave");
    CHECK(!hear(fd));
    hang_up(fd);
    WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) == 1);
    WAIT(count_open(1) == 3);
    finish();
    CHECK_EQ(shared->result.killed, 0);
}

static struct kid *who_has(int fd)
{
    int pid = atoi(ask(fd, "pid"));
    for (uint32_t i = 0; i < 3; i++)
        if (nth_open(i)->pid == pid)
            return nth_open(i);
    return NULL;
}

/* H1: it hangs in code of the service's own. libdtm sees that as soon as there is something
 * for it to do in that worker, and kills nobody who has nothing to do, or does it. */
static void hang_outside(bool idle)
{
    struct service service = polling();
    service.config.hang_timeout_ms = 500;
    service.config.kill_grace_ms = 10000;
    start(&service);
    int fd = dial(shared->port[0]), other = dial(shared->port[0]);
    struct kid *hung = who_has(fd);
    CHECK(hung);
    while (who_has(other) == hung) {
        hang_up(other);
        other = dial(shared->port[0]);
    }
    say(fd, "hang");
    WAIT(GET(shared->custom[HANGING]) > 0);
    if (idle)
        observe(1500); /* longer than the master looks when there is nothing to do */
    CHECK(!has(hung, DTM_EVENT_HANG));
    CHECK_EQ(command("send %llu version 3", (unsigned long long)hung->spawn), DTM_OK);
    for (int i = 0; !idle && i < 200; i++)
        CHECK(!strcmp(ask(other, "echo"), "echo"));
    WAIT(has(hung, DTM_EVENT_EXIT));
    CHECK(has(hung, DTM_EVENT_HANG));
    CHECK_EQ(hung->status & 0x7f, SIGABRT);
    CHECK(!hear(fd));
    hang_up(fd);
    WAIT(count_open(1) == 3);
    CHECK(!strcmp(ask(other, "echo"), "echo"));
    hang_up(other);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static void hang_beside_others(void)
{
    hang_outside(false);
}

static void hang_while_all_sleep(void)
{
    hang_outside(true);
}

static int32_t deaf_loop(dtm_t *rt, void *user_data)
{
    signal(SIGTERM, SIG_IGN);
    return own_loop(rt, user_data);
}

/* libuv or libevent may have taken SIGTERM: the master's orders come all the same. */
static void signals_taken(void)
{
    struct service service = a_service();
    service.callbacks.worker_main = deaf_loop;
    service.config.drain_timeout_ms = 5000;
    service.config.kill_grace_ms = 5000;
    start(&service);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.killed, 0);
}

static const struct test tests[] = {
    {"libdtm inside another loop", inside_another_loop},
    {"worker_main that blocks in dtm_loop_dispatch", blocking},
    {"clients that the service polls itself", taken},
    {"a hang outside of libdtm, others at work", hang_beside_others},
    {"a hang outside of libdtm, all others idle", hang_while_all_sleep},
    {"the load between passes", load_between_passes},
    {"dtm_leave in the service's own loop", leaving},
    {"SIGTERM taken by the service's own loop", signals_taken},
};
TEST_MAIN(tests)
