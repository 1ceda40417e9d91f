/*
 * Deaths of every kind, what follows them, and when nothing does.
 * faults: A03, A04, A05, A06, A07, A08, A18, A20, A21, A22, C1, C2, T1
 */
#include "peer.h"

#include <errno.h>
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

/* The slot of this worker, as the controller lists it; NULL: it does not. */
static dtm_worker_t *listed(uint32_t index)
{
    CHECK_EQ(command("accept 0"), DTM_OK);
    for (uint32_t i = 0; i < shared->worker_count; i++)
        if (shared->worker[i].index == index)
            return &shared->worker[i];
    return NULL;
}

/* The delays that the master has announced for a slot, in order. */
static int delays_of(uint32_t slot, int *ret_ms, int capacity)
{
    char which[32];
    int count = 0, ms;
    snprintf(which, sizeof which, "worker slot %u ", slot);
    for (uint32_t i = 0; i < GET(shared->log_count) && i < LOG_LINES; i++) {
        const char *follows = strstr(shared->log[i], "a replacement follows in ");
        if (follows && strstr(shared->log[i], which) && count < capacity &&
            sscanf(follows, "a replacement follows in %d ms", &ms) == 1)
            ret_ms[count++] = ms;
    }
    return count;
}

/* C1, A05: the delays double, then the slot is given up, and the others have served all
 * along; a reset gives it another chance. */
static void crash_loop(void)
{
    int delays[8];
    struct service service = a_service();
    service.config.respawn_budget = 5;
    service.config.respawn_delay_ms = 50;
    service.config.respawn_delay_max_ms = 5000;
    shared->init_trouble = ABORT;
    shared->init_only = 2;
    launch(&service);
    WAIT(count_open(1) == 2 && controller());
    WAIT(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER) == 1);
    CHECK(serves());
    dtm_worker_t *given_up = listed(1);
    CHECK(given_up);
    CHECK_EQ(given_up->state, DTM_WORKER_FAILED);
    CHECK_EQ(given_up->slot_class, DTM_CLASS_NOT_STARTED);
    CHECK_EQ(given_up->spawn, 0);
    CHECK_EQ(given_up->fork_ms, DTM_OFF);
    CHECK_EQ(given_up->forks, 5);
    CHECK_EQ(given_up->deaths, 5);
    CHECK_EQ(given_up->crashes, 5);
    CHECK_EQ(given_up->reason, DTM_REASON_SIGNAL);
    CHECK_EQ(given_up->status & 0x7f, SIGABRT);
    CHECK_EQ(delays_of(given_up->slot, delays, 8), 3); /* after the first: at once */
    for (int i = 0, ms = 50; i < 3; i++, ms *= 2)
        CHECK(delays[i] <= ms && delays[i] >= ms * 9 / 10);
    CHECK_EQ(logged("given up after 5 deaths in 60 s"), 1);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 2);
    SET(shared->init_trouble, NO_TROUBLE);
    CHECK_EQ(command("reset"), DTM_OK);
    CHECK(strstr(detail, "1 slot has another chance"));
    WAIT(count_open(1) == 3);
    CHECK_EQ(listed(1)->state, DTM_WORKER_OPEN);
    finish();
    CHECK_EQ(shared->result.deaths, 5);
}

/* Who has served for `respawn_reset` is healthy: its next death is a first one. */
static void healthy_again(void)
{
    struct service service = a_service();
    service.config.respawn_reset_ms = 4000;
    start(&service);
    uint32_t slot = nth_open(0)->slot;
    for (int death = 1; death <= 3; death++) {
        if (death == 3)
            observe(4500);
        end_kid(in_slot(slot), SIGKILL);
        WAIT(count_open(1) == 3);
        CHECK_EQ(logged("a replacement follows at once"), death == 3 ? 2 : 1);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

/* A reload starts anew. */
static void reload_after_giving_up(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 2;
    shared->init_trouble = FAIL;
    shared->init_only = 1;
    launch(&service);
    WAIT(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER) == 1 && controller());
    SET(shared->init_trouble, NO_TROUBLE);
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
}

/* A06: they all die, none is given up, and they come back by themselves. */
static void all_crash(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 3;
    service.config.respawn_delay_ms = service.config.respawn_delay_max_ms = 200;
    shared->init_trouble = FAIL;
    launch(&service);
    WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) > 15 && controller());
    CHECK_EQ(command("reopen"), DTM_OK); /* master and controller are at work */
    CHECK(listed(0)->deaths > 3);
    CHECK_EQ(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER), 0);
    /* None is under way: one that failed when another serves already would be given up. */
    WAIT(count_role(DTM_ROLE_WORKER) == 0);
    SET(shared->init_trouble, NO_TROUBLE);
    WAIT(count_open(1) == 3);
    CHECK(serves());
    finish();
}

/* C2, A07: who asks not to be replaced is not, but for the last one. */
static void no_restart(void)
{
    char request[16];
    struct service service = a_service();
    snprintf(request, sizeof request, "exit %d", DTM_EXIT_NO_RESTART);
    start(&service);
    for (uint32_t left = 3; left > 0; left--) {
        int fd = dial_worker(nth_open(0));
        struct kid *kid = kid_at(fd);
        say(fd, request);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK_EQ(kid->status, DTM_EXIT_NO_RESTART << 8);
        hang_up(fd);
        CHECK_EQ(command("reopen"), DTM_OK); /* the master has decided */
        if (left > 1)
            CHECK_EQ(count_role(DTM_ROLE_WORKER), left - 1);
    }
    CHECK_EQ(logged("no replacement is wanted"), 2);
    WAIT(count_open(1) == 1);
    CHECK(serves());
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

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

/* A18: the workers serve while controllers die, and the last one acts. */
static void controller_crash_loop(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 3;
    start(&service);
    SET(shared->controller_init_fails, 12);
    end_kid(controller(), SIGKILL);
    while (GET(shared->controller_init_fails) > 0)
        CHECK(serves());
    WAIT(controller());
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 13);
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

static const struct test tests[] = {
    {"one crashes in its init", crash_loop},
    {"healthy again", healthy_again},
    {"given up until a reload", reload_after_giving_up},
    {"all crash in their init", all_crash},
    {"asked not to be replaced", no_restart},
    {"64 at once", many_at_once},
    {"before the gate", before_the_gate},
    {"controllers crash", controller_crash_loop},
    {"a grandchild keeps the descriptors", grandchild},
    {"a child of the host", hosts_own_child},
    {"the host waits for any child", stolen_statuses},
    {"totals of a slot", totals},
    {"killed in the middle of a message", mid_message},
};
TEST_MAIN(tests)
