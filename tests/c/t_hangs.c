/*
 * Processes that do not get on: found, reported, ended, replaced.
 * faults: A09, A11, H1
 */
#include "hangs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORTED };

static dtm_report_t *reports(void)
{
    static dtm_report_t *copy;
    if (!copy)
        copy = shared_memory(32 * sizeof *copy);
    return copy;
}

static void (*next_event)(dtm_t *rt, const dtm_event_t *event, void *user_data);

/* The master's view, at each death. */
static void on_event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    uint32_t count = 0;
    if (event->kind == DTM_EVENT_EXIT || event->kind == DTM_EVENT_HANG) {
        CHECK_EQ(dtm_reports(rt, reports(), sizeof *reports(), 32, &count), DTM_OK);
        SET(shared->custom[REPORTED], (int)count);
    }
    next_event(rt, event, user_data); /* the driver is told afterwards */
}

static struct service reporting(void)
{
    struct service service = hanging();
    reports();
    next_event = service.callbacks.event;
    service.callbacks.event = on_event;
    return service;
}

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    (void)rt, (void)reply, (void)size;
    if (!strcmp(line, "spin")) {
        CHECK_EQ(dtm_client_set_state(client, "spinning"), DTM_OK);
        ADD(shared->blocked, 1);
        for (;;)
            ;
    }
    if (!strcmp(line, "deaf")) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        ADD(shared->blocked, 1);
        for (;;)
            pause();
    }
    if (!strcmp(line, "state"))
        return dtm_client_set_state(client, "stopped here") == DTM_OK ? DTM_READ : -EIO;
    return NOT_MINE;
}

/* A09: found, told of, and its report names client, step and place. */
static void endless_loop(void)
{
    struct service service = reporting();
    service.request = request;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "spin");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK(has(kid, DTM_EVENT_HANG));
    CHECK(WIFSIGNALED(kid->status) && WTERMSIG(kid->status) == SIGABRT);
    WAIT(count_open(1) == 3);
    CHECK_EQ(shared->custom[REPORTED], 1);
    const dtm_report_t *report = reports();
    CHECK_EQ(report->kind, DTM_REPORT_HANG);
    CHECK_EQ(report->spawn, kid->spawn);
    CHECK_EQ(report->pid, kid->pid);
    CHECK_EQ(report->signal, SIGABRT);
    CHECK_EQ(report->listener, 0);
    CHECK_EQ(report->tag, 100);
    CHECK(report->client > 0 && report->fd >= 0 && report->stuck_ms >= 300);
    CHECK(!strcmp(report->step, "client_step"));
    CHECK(!strcmp(report->label, "spinning"));
    CHECK(!strncmp(report->peer, "127.0.0.1:", 10));
    CHECK(strstr(report->process, "R (running)"));
    CHECK(!strcmp(report->syscall, "running"));
    CHECK(strstr(report->stack, "t_hangs") && strstr(report->stack, "libdtm"));
    CHECK(logged("client_step") > 0 && logged("hangs: no progress for") == 1);
    CHECK(serves());
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
    CHECK_EQ(shared->result.killed, 1);
}

/* SIGKILL for one that does not hear SIGABRT. */
static void deaf(void)
{
    struct service service = reporting();
    service.request = request;
    service.config.kill_grace_ms = 200;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "deaf");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(WTERMSIG(kid->status), SIGKILL);
    CHECK(strstr(reports()->process, "S (sleeping)"));
    CHECK(reports()->wchan[0] && strcmp(reports()->syscall, "running") != 0);
    CHECK_EQ(reports()->signal, SIGKILL);
    WAIT(count_open(1) == 3);
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.killed, 1);
}

/* A11, H1: a stopped worker, at work or idle, is found, too, and tells where it stood. */
static void stopped(void)
{
    for (int busy = 0; busy < 2; busy++) {
        struct service service = reporting();
        service.request = request;
        service.config.hang_timeout_ms = 500;
        start(&service);
        int fd = dial(shared->port[0]);
        struct kid *kid = kid_at(fd), *others[2];
        for (uint32_t i = 0, n = 0; n < 2; i++)
            if (nth_open(i) != kid)
                others[n++] = nth_open(i);
        if (busy) {
            ask(fd, "state");
            say(fd, "block");
            WAIT(GET(shared->blocked) == 1);
        }
        kill(kid->pid, SIGSTOP);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK(has(kid, DTM_EVENT_HANG));
        CHECK_EQ(WTERMSIG(kid->status), SIGABRT);
        const dtm_report_t *report = reports();
        CHECK(strstr(report->process, "T (stopped)"));
        CHECK(report->wchan[0] && report->syscall[0] && report->stack[0]);
        CHECK(report->client > 0); /* the one it works for, or has worked for */
        if (busy)
            CHECK(!strcmp(report->label, "stopped here"));
        WAIT(count_open(1) == 3);
        CHECK(!has(others[0], DTM_EVENT_EXIT) && !has(others[1], DTM_EVENT_EXIT));
        hang_up(fd);
        finish();
        CHECK_EQ(shared->result.deaths, 1);
    }
}

/* An init that takes longer than start_timeout: reported, ended, tried again. */
static void init_hangs(void)
{
    struct service service = reporting();
    service.config.start_timeout_ms = 300;
    shared->init_trouble = HANG;
    shared->init_only = 1;
    launch(&service);
    WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) >= 2);
    CHECK_EQ(reports()->kind, DTM_REPORT_START);
    CHECK(!strcmp(reports()->step, "init"));
    CHECK_EQ(count_open(1), 2);
    SET(shared->init_trouble, NO_TROUBLE);
    WAIT(count_open(1) == 3 && controller());
    finish();
}

/* Who has nothing to do is not woken up for this; and a hang afterwards is found. */
static void idle_service_sleeps(void)
{
    struct service service = hanging();
    start(&service);
    CHECK(serves());
    uint64_t before = settled_switches(300); /* the master has stopped to look */
    observe(900);
    CHECK_LE(switches_of_all() - before, 2);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "block");
    WAIT(has(kid, DTM_EVENT_HANG));
    WAIT(count_open(1) == 3);
    hang_up(fd);
    finish();
}

static int32_t control_blocks(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    if (ADD(shared->blocked, 1) == 1)
        for (;;)
            pause();
    return DTM_DONE;
}

/* A controller that hangs would leave operators without an answer for ever. */
static void controller_hangs(void)
{
    char address[160];
    struct service service = hanging();
    service.callbacks.control_step = control_blocks;
    service.callbacks.control_open = NULL;
    service.callbacks.control_close = NULL;
    start(&service);
    struct kid *first = controller();
    snprintf(address, sizeof address, "unix:%s", control_path());
    int fd = dial_address(address);
    say(fd, "hello");
    WAIT(has(first, DTM_EVENT_HANG));
    WAIT(has(first, DTM_EVENT_EXIT) && controller());
    hang_up(fd);
    CHECK(serves());
    finish();
}

static const struct test tests[] = {
    {"an endless loop", endless_loop},
    {"one that does not hear", deaf},
    {"stopped, idle and at work", stopped},
    {"an init without end", init_hangs},
    {"an idle service sleeps", idle_service_sleeps},
    {"the controller hangs", controller_hangs},
};
TEST_MAIN(tests)
