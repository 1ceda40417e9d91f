/*
 * Callbacks that break their process, and what that costs: that process. I05 to I07, I09
 */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static jmp_buf back;
static dtm_client_t *jumper;
static bool asks_about_jumper;

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    (void)rt;
    if (!strcmp(line, "close all")) {
        for (int fd = 3; fd < 1024; fd++)
            if (fd != dtm_client_fd(client))
                close(fd);
    } else if (!strcmp(line, "close own")) {
        close(dtm_client_fd(client));
        return NO_REPLY;
    } else if (!strcmp(line, "fd")) {
        snprintf(reply, size, "%d", dtm_client_fd(client));
        return DTM_READ;
    } else if (!strcmp(line, "jump")) {
        jumper = client;
        longjmp(back, 1);
    } else {
        return NOT_MINE;
    }
    snprintf(reply, size, "0");
    return DTM_READ;
}

static struct service breaking(void)
{
    struct service service = a_service();
    service.request = request;
    return service;
}

/* I05: atexit handlers, exit in a callback: the socket files stay the master's. */
static void exit_in_a_callback(void)
{
    struct stat st;
    struct service service = breaking();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "exit 0");
    WAIT(has(kid, DTM_EVENT_EXIT));
    hang_up(fd);
    CHECK_EQ(stat(control_path(), &st), 0);
    WAIT(count_open(1) == 3);
    finish();
}

static int32_t run_with_a_way_back(dtm_t *rt)
{
    if (setjmp(back) == 0)
        return dtm_run(rt, &shared->result, sizeof shared->result);
    dtm_self_t self; /* a worker is here now, above the frames that it has left */
    if (asks_about_jumper)
        dtm_client_fd(jumper);
    else
        dtm_self(rt, &self, sizeof self);
    ADD(shared->wrong_calls, 1); /* never reached */
    for (;;)
        pause();
}

/* I06: a callback left by longjmp. The C++ exception is in t_throw.cpp. */
static void longjmp_out(void)
{
    struct service service = breaking();
    service.run = run_with_a_way_back;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "jump");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK(WIFEXITED(kid->status) && WEXITSTATUS(kid->status) == DTM_EXIT_BROKEN);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

/* The same, noticed by a call that is quick because it is about the step's own client. */
static void longjmp_and_ask(void)
{
    asks_about_jumper = true;
    longjmp_out();
    asks_about_jumper = false;
}

/* I07: descriptors of the runtime closed behind its back. */
static void closed_descriptors(void)
{
    struct service service = breaking();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "close all");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK(WIFEXITED(kid->status) && WEXITSTATUS(kid->status) == DTM_EXIT_FDS);
    hang_up(fd);
    WAIT(count_open(1) == 3);

    fd = dial(shared->port[0]);
    kid = kid_at(fd);
    say(fd, "close own"); /* only its own client suffers */
    int other = dial_worker(kid);
    who(other);
    hang_up(fd), hang_up(other);
    CHECK(!has(kid, DTM_EVENT_EXIT));
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static dtm_init_cb base_init;

static int32_t init_without_standard_fds(dtm_t *rt, void *user_data)
{
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    return base_init(rt, user_data);
}

/* The places of stdin, stdout and stderr are no client's, as everybody writes there. */
static void closed_standard_fds(void)
{
    struct service service = breaking();
    base_init = service.callbacks.worker_init;
    service.callbacks.worker_init = init_without_standard_fds;
    start(&service);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(shared->port[0]);
        CHECK_LE(3, atoi(ask(fds[i], "fd")));
    }
    for (int i = 0; i < 4; i++)
        hang_up(fds[i]);
    finish();
}

static int32_t init_that_closes(dtm_t *rt, void *user_data)
{
    int32_t code = base_init(rt, user_data);
    if (ADD(shared->custom[0], 1) == 1)
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
    return code;
}

/* I07: the same before there is a loop. */
static void closed_in_init(void)
{
    struct service service = breaking();
    base_init = service.callbacks.worker_init;
    service.callbacks.worker_init = init_that_closes;
    start(&service);
    int ends = 0;
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        struct kid *kid = kid_of(spawn);
        if (has(kid, DTM_EVENT_EXIT)) {
            CHECK(WIFEXITED(kid->status));
            CHECK_EQ(WEXITSTATUS(kid->status), DTM_EXIT_FDS);
            ends++;
        }
    }
    CHECK_EQ(ends, 1);
    CHECK(logged("closed or replaced libdtm's file descriptors"));
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

/* I09: an internal error in a child costs that child only. */
static void panic_in_a_child(void)
{
    struct service service = a_service();
    service.fault = "child.ready=panic@2";
    start(&service);
    CHECK(serves());
    int broken = 0;
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        struct kid *kid = kid_of(spawn);
        if (has(kid, DTM_EVENT_EXIT)) {
            CHECK(WIFEXITED(kid->status) && WEXITSTATUS(kid->status) == DTM_EXIT_BROKEN);
            broken++;
        }
    }
    CHECK_EQ(broken, 1);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
    CHECK_EQ(shared->result.forks, 5);
}

static int32_t run_alone_afterwards(dtm_t *rt)
{
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    return code;
}

/* In the master it ends dtm_run(), which still leaves nothing behind. */
static void panic_in_the_master(void)
{
    for (int n = 3; n <= 5; n++) {
        char fault[32];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "fork=panic@%d", n);
        service.fault = fault;
        service.run = run_alone_afterwards;
        if (n <= 4) { /* while it starts */
            launch(&service);
        } else { /* while it serves */
            start(&service);
            kill(nth_open(0)->pid, SIGKILL);
        }
        CHECK_EQ(wait_host(), 0);
        CHECK_EQ(shared->run_code, DTM_EPANIC);
        CHECK(!shared->signals_changed);
        CHECK_EQ(shared->fds_after, shared->fds_before);
        check_no_survivors();
    }
}

static const struct test tests[] = {
    {"I05 exit in a callback", exit_in_a_callback},
    {"I06 longjmp out of a callback", longjmp_out},
    {"I06 and then a call about its client", longjmp_and_ask},
    {"I07 closed descriptors", closed_descriptors},
    {"I07 closed in init", closed_in_init},
    {"closed standard descriptors", closed_standard_fds},
    {"I09 a panic in a child", panic_in_a_child},
    {"I09 a panic in the master", panic_in_the_master},
};
TEST_MAIN(tests)
