/*
 * Deaths of every kind: each is seen, counted once, and made good.
 * faults: A03, A04, A08, A20, A21, A22, T1
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* Crashes are what is tested: they are libdtm's to report, not the sanitizer's. */
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_abort=0";
}
#endif

enum { GRANDCHILD, HOSTS_OWN, HOSTS_STATUS, STOLEN, TORN, ANSWERED };

/* A08: deaths == kills, each with its status, each replaced. */
static void many_at_once(void)
{
    enum { MANY = 64 };
    static const int signals[] = {SIGKILL, SIGSEGV, SIGBUS, SIGABRT};
    struct kid *kids[MANY];
    struct service service = a_service();
    service.config.workers = MANY;
    service.config.max_processes = 2 * MANY + 4;
    start(&service);
    for (uint32_t i = 0; i < MANY; i++)
        kids[i] = nth_open(i);
    for (int i = 0; i < MANY; i++)
        kill(kids[i]->pid, signals[i % 4]);
    for (int i = 0; i < MANY; i++) {
        WAIT(has(kids[i], DTM_EVENT_EXIT));
        CHECK(WIFSIGNALED(kids[i]->status));
        CHECK_EQ(WTERMSIG(kids[i]->status), signals[i % 4]);
    }
    WAIT(count_open(1) == MANY);
    finish();
    CHECK_EQ(shared->result.deaths, MANY);
    CHECK_EQ(shared->result.forks, 2 * MANY + 1);
}

/* A04: neither before it is ready, nor between that and its gate, does a death open it. */
static void before_the_gate(void)
{
    static const char *points[] = {"child.born", "child.ready"};
    for (int i = 0; i < 2; i++) {
        char fault[64];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "%s=kill@%d", points[i], i == 0 ? 2 : 1);
        service.fault = fault;
        start(&service);
        /* Whoever came there in that turn: the controller, too. */
        CHECK_EQ(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) +
                     count_events(DTM_EVENT_EXIT, DTM_ROLE_CONTROLLER),
                 1);
        for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++)
            if (has(kid_of(spawn), DTM_EVENT_EXIT))
                CHECK(!has(kid_of(spawn), DTM_EVENT_READY) &&
                      !has(kid_of(spawn), DTM_EVENT_OPEN));
        finish();
    }
    struct service service = a_service();
    shared->update_agains = 1 << 30;
    launch(&service);
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 3);
    struct kid *victim = in_slot(1);
    CHECK_EQ(victim->role, DTM_ROLE_WORKER);
    end_kid(victim, SIGKILL);
    CHECK(!has(victim, DTM_EVENT_OPEN));
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 4);
    SET(shared->update_agains, 0);
    WAIT(count_open(1) == 3);
    CHECK_EQ(listed(victim->index)->deaths, 1);
    finish();
}

static int32_t request_orphan(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                              size_t size)
{
    (void)rt, (void)client;
    if (strcmp(line, "grandchild") != 0)
        return NOT_MINE;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    SET(shared->custom[GRANDCHILD], (int)pid);
    snprintf(reply, size, "%d", (int)pid);
    return DTM_READ;
}

/* A20: the death is seen although somebody else has all of its descriptors. */
static void grandchild(void)
{
    struct service service = a_service();
    service.request = request_orphan;
    start(&service);
    int fd = dial_worker(nth_open(0));
    struct kid *kid = kid_at(fd);
    CHECK(atoi(ask(fd, "grandchild")) > 1);
    end_kid(kid, SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK(runs(shared->custom[GRANDCHILD]));
    CHECK(serves());
    hang_up(fd);
    kill(shared->custom[GRANDCHILD], SIGKILL);
    WAIT(!runs(shared->custom[GRANDCHILD]));
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static int32_t run_with_a_child(dtm_t *rt)
{
    int status = 0;
    pid_t own = fork();
    if (own == 0) {
        while (!GET(shared->custom[HOSTS_STATUS]))
            usleep(1000);
        _exit(3);
    }
    SET(shared->custom[HOSTS_OWN], (int)own);
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    CHECK_EQ(waitpid(own, &status, 0), own);
    SET(shared->custom[HOSTS_STATUS], status);
    return code;
}

/* A21: the host's own child is none of the master's: neither counted nor waited for. */
static void hosts_own_child(void)
{
    struct service service = a_service();
    service.run = run_with_a_child;
    start(&service);
    SET(shared->custom[HOSTS_STATUS], 1);
    WAIT(state_of(shared->custom[HOSTS_OWN]) == 'Z');
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK_EQ(state_of(shared->custom[HOSTS_OWN]), 'Z');
    finish();
    CHECK_EQ(shared->custom[HOSTS_STATUS], 3 << 8);
    CHECK_EQ(shared->result.deaths, 1);
}

static void (*next_event)(dtm_t *rt, const dtm_event_t *event, void *user_data);

/* A host that waits for whatever child there is, in the middle of the master's work. */
static void on_event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ADD(shared->custom[STOLEN], 1);
    next_event(rt, event, user_data);
}

static void ignore_children(void)
{
    signal(SIGCHLD, SIG_IGN);
}

/* A22: each death is handled once, whoever has taken the status. */
static void stolen_statuses(void)
{
    struct service service = a_service();
    next_event = service.callbacks.event;
    service.callbacks.event = on_event;
    service.before = ignore_children;
    service.config.workers = 6;
    start(&service);
    for (int round = 0; round < 5; round++) {
        struct kid *kids[6];
        for (uint32_t i = 0; i < 6; i++)
            kids[i] = nth_open(i);
        for (int i = 0; i < 6; i++)
            kill(kids[i]->pid, SIGKILL);
        for (int i = 0; i < 6; i++) {
            WAIT(has(kids[i], DTM_EVENT_EXIT));
            CHECK(kids[i]->status == -1 || kids[i]->status == SIGKILL);
        }
        WAIT(count_open(1) == 6);
    }
    CHECK(GET(shared->custom[STOLEN]) > 0);
    finish();
    CHECK_EQ(shared->result.deaths, 30);
    CHECK_EQ(shared->result.forks, 7 + 30);
}

/* T1: totals of a slot never fall, what belongs to a process begins at 0 again. */
static void totals(void)
{
    struct service service = a_service();
    service.config.workers = 1;
    start(&service);
    for (uint64_t round = 1; round <= 4; round++) {
        for (int i = 0; i < 5; i++)
            CHECK(serves());
        WAIT(listed(0)->total_requests == 5 * round); /* its answer is sent before it is over */
        dtm_worker_t *worker = listed(0);
        CHECK_EQ(worker->accepted, 5);
        CHECK_EQ(worker->total_accepted, 5 * round);
        CHECK_EQ(worker->total_requests, 5 * round);
        CHECK_EQ(worker->forks, round);
        CHECK_EQ(worker->deaths, round - 1);
        struct kid *kid = nth_open(0);
        end_kid(kid, SIGKILL);
        WAIT(count_open(1) == 1);
    }
    CHECK_EQ(listed(0)->accepted, 0);
    CHECK_EQ(listed(0)->total_accepted, 20);
    finish();
}

static int32_t request_flood(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                             size_t size)
{
    (void)client, (void)reply, (void)size;
    static char text[8192];
    if (strcmp(line, "flood") != 0)
        return NOT_MINE;
    for (unsigned n = 0;; n = (n + 1) % 8192) { /* as on_answer() counts */
        memset(text, 'a' + (int)(n % 26), sizeof text);
        dtm_answer(rt, text, 1 + n * 977 % sizeof text);
    }
}

static void on_answer(dtm_t *rt, const dtm_worker_t *worker, int32_t status, const void *data,
                      size_t len, void *user_data)
{
    (void)rt, (void)worker, (void)status, (void)user_data;
    const char *text = data;
    for (size_t i = 1; i < len; i++)
        if (text[i] != text[0])
            ADD(shared->custom[TORN], 1);
    unsigned n = 0; /* the length goes with the letter */
    while (n < 8192 && (1 + n * 977 % 8192 != len || 'a' + (int)(n % 26) != text[0]))
        n++;
    if (n == 8192)
        ADD(shared->custom[TORN], 1);
    ADD(shared->custom[ANSWERED], 1);
}

/* A03: killed while it sends, a message arrives whole or not at all. */
static void mid_message(void)
{
    struct service service = a_service();
    service.request = request_flood;
    service.callbacks.worker_answer = on_answer;
    start(&service);
    for (int i = 0; i < 20; i++) {
        int fd = dial_worker(nth_open(0));
        struct kid *kid = kid_at(fd);
        int before = GET(shared->custom[ANSWERED]);
        say(fd, "flood");
        WAIT(GET(shared->custom[ANSWERED]) > before);
        end_kid(kid, SIGKILL);
        hang_up(fd);
        WAIT(count_open(1) == 3);
    }
    CHECK_EQ(shared->custom[TORN], 0);
    CHECK_EQ(command("reopen"), DTM_OK);
    finish();
    CHECK_EQ(shared->result.deaths, 20);
}

/* What a worker says to a controller that does not read takes no room from what the master
 * has to say: the operator gets his answer. */
static void flooded_controller(void)
{
    struct service service = a_service();
    service.request = request_flood;
    service.callbacks.worker_answer = on_answer;
    service.config.channel_queue = 1 << 20;
    service.config.drain_timeout_ms = 1000;
    start(&service);
    struct kid *kid = nth_open(0), *other = nth_open(1), *acting = controller();
    int fd = dial_worker(kid);
    say(fd, "flood");
    WAIT(GET(shared->custom[ANSWERED]) > 0);
    int asked = ask_command("stop");
    WAIT(has(other, DTM_EVENT_EXIT)); /* the flooding one does not listen */
    kill(acting->pid, SIGSTOP);
    WAIT(logged("does not read"));
    WAIT(has(kid, DTM_EVENT_EXIT));
    kill(acting->pid, SIGCONT);
    CHECK_EQ(command_answer(asked), DTM_OK);
    hang_up(fd);
    CHECK_EQ(shared->custom[TORN], 0);
    finish();
}

static const struct test tests[] = {
    {"64 at once", many_at_once},
    {"before the gate", before_the_gate},
    {"a grandchild keeps the descriptors", grandchild},
    {"a child of the host", hosts_own_child},
    {"the host waits for any child", stolen_statuses},
    {"totals of a slot", totals},
    {"killed in the middle of a message", mid_message},
    {"a controller that is flooded", flooded_controller},
};
TEST_MAIN(tests)
