/*
 * Crashes: what a worker says before it dies, and that it dies as it would have.
 */
#include "peer.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* Crashes are what is tested: they are libdtm's to report, not the sanitizer's. */
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_abort=0";
}
#endif

enum { REPORTED, HANDLED };

static dtm_report_t *reports;
static void (*next_event)(dtm_t *rt, const dtm_event_t *event, void *user_data);

static void on_event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    uint32_t count = 0;
    if (event->kind == DTM_EVENT_EXIT) {
        CHECK_EQ(dtm_reports(rt, reports, sizeof *reports, 32, &count), DTM_OK);
        SET(shared->custom[REPORTED], (int)count);
    }
    next_event(rt, event, user_data); /* the driver is told afterwards */
}

static _Unwind_Reason_Code (*next_backtrace)(_Unwind_Trace_Fn visit, void *data);
static volatile int walk_hangs;

/* In place of libgcc's: a walk may wait for a lock that its own thread has. */
_Unwind_Reason_Code _Unwind_Backtrace(_Unwind_Trace_Fn visit, void *data)
{
    while (walk_hangs)
        pause();
    if (!next_backtrace)
        *(void **)&next_backtrace = dlsym(RTLD_NEXT, "_Unwind_Backtrace");
    return next_backtrace(visit, data);
}

static void on_segv(int sig)
{
    ADD(shared->custom[HANDLED], 1);
    signal(sig, SIG_DFL);
    raise(sig);
}

static int overflow(volatile char *above)
{
    volatile char page[4096];
    page[0] = above[0];
    return page[0] == 'y' ? 0 : overflow(page) + page[0];
}

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    uint32_t count = 0;
    CHECK_EQ(dtm_client_set_state(client, line), DTM_OK);
    if (!strcmp(line, "segv")) {
        *(volatile int *)0x1238 = 1;
    } else if (!strcmp(line, "bus")) {
        FILE *file = tmpfile();
        char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
        return map[100];
    } else if (!strcmp(line, "ill")) {
        __builtin_trap();
    } else if (!strcmp(line, "fpe")) {
        raise(SIGFPE);
    } else if (!strcmp(line, "stack")) {
        return overflow("x");
    } else if (!strcmp(line, "own handler")) {
        signal(SIGSEGV, on_segv);
        *(volatile int *)0x1238 = 1;
    } else if (!strcmp(line, "endless segv")) {
        walk_hangs = 1;
        *(volatile int *)0x1238 = 1;
    } else if (!strcmp(line, "endless abort")) {
        walk_hangs = 1;
        abort();
    } else if (!strcmp(line, "pdeathsig")) {
        int sig = 0;
        prctl(PR_GET_PDEATHSIG, &sig);
        snprintf(reply, size, "%d", sig);
        return DTM_READ;
    } else if (!strcmp(line, "reports")) {
        dtm_report_t one = {0};
        int32_t code = dtm_reports(rt, &one, sizeof one, 1, &count);
        snprintf(reply, size, "%d %u %llu", code, count, (unsigned long long)one.number);
        return DTM_READ;
    } else {
        return NOT_MINE;
    }
    return DTM_READ;
}

static struct service crashing(void)
{
    struct service service = a_service();
    reports = shared_memory(32 * sizeof *reports);
    next_event = service.callbacks.event;
    service.callbacks.event = on_event;
    service.request = request;
    return service;
}

static const struct {
    const char *name;
    int signal;
    uint64_t address;
} crashes[] = {
    {"segv", SIGSEGV, 0x1238}, {"bus", SIGBUS, 0},    {"ill", SIGILL, 0},
    {"fpe", SIGFPE, 0},        {"abort", SIGABRT, 0}, {"stack", SIGSEGV, 0},
};

/* Each kind: the report says who, where, for whom; the status is what it would have
 * been; nobody else is touched. */
static void each_kind(void)
{
    struct service service = crashing();
    start(&service);
    struct kid *safe[2] = {nth_open(1), nth_open(2)};
    int fds[2] = {dial_worker(safe[0]), dial_worker(safe[1])};
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        int fd = dial_worker(nth_open(0));
        struct kid *kid = kid_at(fd);
        say(fd, crashes[i].name);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK(WIFSIGNALED(kid->status));
        CHECK_EQ(WTERMSIG(kid->status), crashes[i].signal);
        WAIT(GET(shared->custom[REPORTED]) == (int)i + 1);
        const dtm_report_t *report = reports;
        CHECK_EQ(report->number, i + 1);
        CHECK_EQ(report->kind, DTM_REPORT_CRASH);
        CHECK_EQ(report->signal, crashes[i].signal);
        CHECK_EQ(report->spawn, kid->spawn);
        CHECK_EQ(report->slot, kid->slot);
        CHECK_EQ(report->core, (kid->status & 0x80) != 0);
        CHECK(!crashes[i].address || report->address == crashes[i].address);
        CHECK(!strcmp(report->step, "client_step"));
        CHECK(!strcmp(report->label, crashes[i].name));
        CHECK(!strncmp(report->peer, "127.0.0.1:", 10));
        CHECK(report->client > 0 && report->fd > 2 && report->listener == 0);
        CHECK(strstr(report->stack, "#0 ") && strstr(report->stack, "t_crash"));
        WAIT(count_open(1) == 3);
        hang_up(fd);
    }
    CHECK(logged("SIGSEGV, code 1, address 0x1238") == 1);
    CHECK(!strcmp(ask(fds[0], "reports"), "-28 6 6")); /* -ENOSPC: room for one */
    hang_up(fds[0]), hang_up(fds[1]);
    CHECK(!has(safe[0], DTM_EVENT_EXIT) && !has(safe[1], DTM_EVENT_EXIT));
    finish();
    CHECK_EQ(shared->result.deaths, 6);
}

/* SIGKILL cannot be told of: what the worker has noted before is kept. */
static void killed_from_outside(void)
{
    struct service service = crashing();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "block");
    WAIT(GET(shared->blocked) == 1);
    end_kid(kid, SIGKILL);
    CHECK_EQ(reports->kind, DTM_REPORT_CRASH);
    CHECK_EQ(reports->signal, SIGKILL);
    CHECK(!strcmp(reports->step, "client_step"));
    CHECK(reports->client > 0 && !reports->stack[0]);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    finish();
}

/* A handler of the service's own stays its own. */
static void own_handler(void)
{
    struct service service = crashing();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "own handler");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(WTERMSIG(kid->status), SIGSEGV);
    CHECK_EQ(shared->custom[HANDLED], 1);
    CHECK(!reports->stack[0]);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    finish();
}

/* One whose stack cannot be walked dies of the same signal, and has said the rest before. */
static void endless_walk(void)
{
    struct service service = crashing();
    start(&service);
    const char *lines[] = {"endless segv", "endless abort"};
    for (int i = 0; i < 2; i++) {
        int fd = dial(shared->port[0]);
        struct kid *kid = kid_at(fd);
        say(fd, lines[i]);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK(WIFSIGNALED(kid->status));
        CHECK_EQ(WTERMSIG(kid->status), i == 0 ? SIGSEGV : SIGABRT);
        CHECK_EQ(reports->signal, i == 0 ? SIGSEGV : SIGABRT);
        CHECK_EQ(reports->core, (kid->status & 0x80) != 0);
        CHECK(!strcmp(reports->label, lines[i]) && !reports->stack[0]);
        hang_up(fd);
        WAIT(count_open(1) == 3);
    }
    finish();
}

static int32_t (*next_init)(dtm_t *rt, void *user_data);

static int32_t drop_rights(dtm_t *rt, void *user_data)
{
    if (getuid() == 0)
        CHECK(setgid(54321) == 0 && setuid(54321) == 0);
    return next_init(rt, user_data);
}

/* Whoever has changed its user in its init still dies with the master. */
static void other_user(void)
{
    struct service service = crashing();
    next_init = service.callbacks.worker_init;
    service.callbacks.worker_init = drop_rights;
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "pdeathsig")), SIGKILL);
    hang_up(fd);
    kill(shared->host, SIGKILL);
    WAIT(ended(shared->host, NULL));
    WAIT(survivors(NULL, 0) == 0);
    unlink(control_path()); /* nobody was left to do it */
}

/* The last 32 are kept. */
static void many(void)
{
    struct service service = crashing();
    start(&service);
    for (int i = 1; i <= 40; i++) {
        int fd = dial(shared->port[0]);
        struct kid *kid = kid_at(fd);
        say(fd, "abort");
        WAIT(has(kid, DTM_EVENT_EXIT));
        WAIT(count_open(1) == 3);
        hang_up(fd);
        CHECK_EQ(shared->custom[REPORTED], i < 32 ? i : 32);
        CHECK_EQ(reports[0].number, i);
    }
    CHECK_EQ(reports[31].number, 9);
    finish();
}

static const struct test tests[] = {
    {"each kind of crash", each_kind},
    {"killed from outside", killed_from_outside},
    {"a handler of the service's own", own_handler},
    {"a walk without end", endless_walk},
    {"another user", other_user},
    {"more than are kept", many},
};
TEST_MAIN(tests)
