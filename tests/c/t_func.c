/*
 * Helper processes: supervised by their policy, part of a generation, reachable.
 * flow: M6, M7, M12, M14, M17, M18, M19
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS, INDEXES, MESSAGES, TIMERS, DISOBEYS, END };

static uint32_t restart, phase, count, interval;
static bool forgets;

static void on_timer(dtm_t *rt, dtm_timer_t *timer, void *data)
{
    (void)rt, (void)timer, (void)data;
    ADD(shared->custom[TIMERS], 1);
}

/* Lives in libdtm's loop until it is told to leave, or to end in its own way. */
static int32_t func_main(dtm_t *rt, void *data)
{
    dtm_self_t self;
    dtm_timer_t *timer;
    CHECK(data == &restart);
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    CHECK_EQ(self.role, DTM_ROLE_FUNC);
    CHECK_EQ(dtm_timer_add(rt, 1, 0, on_timer, NULL, &timer), DTM_OK);
    ADD(shared->custom[RUNS], 1);
    __atomic_or_fetch(&shared->custom[INDEXES], 1 << self.index, __ATOMIC_SEQ_CST);
    int32_t code, end;
    while ((code = dtm_loop_dispatch(rt, -1)) == 0)
        /* Taken: its successor may be there before end_func() looks again. */
        if ((end = __atomic_exchange_n(&shared->custom[END], 0, __ATOMIC_SEQ_CST)) != 0)
            return end & 0xff;
    CHECK_EQ(code, DTM_EGONE);
    CHECK_EQ(dtm_draining(rt), 1);
    while (GET(shared->custom[DISOBEYS]))
        pause();
    return 0;
}

/* As a change of its user does: the kernel forgets what to do at the master's end. */
static int32_t forgetful_main(dtm_t *rt, void *data)
{
    int sig = 0;
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, 0), 0);
    CHECK_EQ(dtm_loop_dispatch(rt, 0), 0);
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &sig), 0);
    CHECK_EQ(sig, SIGKILL);
    return func_main(rt, data);
}

static int32_t on_message(dtm_t *rt, const void *msg, size_t len, void *data)
{
    CHECK(data == &restart);
    ADD(shared->custom[MESSAGES], 1);
    if (len >= 4 && !memcmp(msg, "echo", 4))
        CHECK_EQ(dtm_answer(rt, msg, len), DTM_OK);
    return 0;
}

static void setup(dtm_t *rt)
{
    dtm_func_t func = DTM_FUNC_INIT;
    func.name = "helper";
    func.main = forgets ? forgetful_main : func_main;
    func.message = on_message;
    func.data = &restart;
    func.restart = restart;
    func.phase = phase;
    func.count = count;
    func.restart_ms = interval;
    CHECK_EQ(dtm_func_register(rt, &func), 0);
}

static struct service with_func(uint32_t policy)
{
    struct service service = a_service();
    restart = policy;
    phase = DTM_PHASE_BEFORE_WORKERS;
    forgets = false;
    count = interval = 0;
    service.setup = setup;
    return service;
}

static struct kid *the_func(void)
{
    struct kid *found = NULL;
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++)
        if (kid_of(spawn)->role == DTM_ROLE_FUNC && !has(kid_of(spawn), DTM_EVENT_EXIT))
            found = kid_of(spawn);
    return found;
}

/* A func may run before its master has told of it. */
static struct kid *a_func(void)
{
    WAIT(the_func());
    return the_func();
}

/* Let it return from main with this status; the next one stays. */
static struct kid *end_func(int status)
{
    struct kid *func = a_func();
    SET(shared->custom[END], 0x100 | status);
    /* The controller hears of a fork a moment later than we; and the func may look up
     * for another reason. */
    WAIT(command("send %llu end", (unsigned long long)func->spawn) == DTM_OK ||
         has(func, DTM_EVENT_EXIT));
    WAIT(has(func, DTM_EVENT_EXIT));
    CHECK_EQ(func->status, status << 8);
    return func;
}

/* The master has decided against a successor, and its loop has gone on since. */
static void nobody_follows(void)
{
    CHECK_EQ(logged("no replacement is wanted"), 1);
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK(!the_func());
}

static void restart_always(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    struct kid *first = end_func(0);
    WAIT(GET(shared->custom[RUNS]) == 2);
    CHECK_EQ(a_func()->slot, first->slot);
    end_kid(a_func(), SIGKILL);
    WAIT(GET(shared->custom[RUNS]) == 3);
    end_func(7);
    WAIT(GET(shared->custom[RUNS]) == 4);
    CHECK_EQ(count_open(1), 3);
    WAIT(the_func());
    finish();
}

static void restart_on_failure(void)
{
    struct service service = with_func(DTM_RESTART_ON_FAILURE);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    end_func(7);
    WAIT(GET(shared->custom[RUNS]) == 2 && the_func());
    end_kid(a_func(), SIGKILL);
    WAIT(GET(shared->custom[RUNS]) == 3 && the_func());
    end_func(0);
    nobody_follows();
    CHECK_EQ(command("reload"), DTM_OK); /* a new generation has its own */
    WAIT(GET(shared->custom[RUNS]) == 4);
    finish();
}

static void restart_once(void)
{
    struct service service = with_func(DTM_RESTART_ONCE);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    end_func(7);
    nobody_follows();
    CHECK_EQ(GET(shared->custom[RUNS]), 1);
    CHECK(serves());
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(GET(shared->custom[RUNS]) == 2);
    finish();
}

static void asks_not_to_be_restarted(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    end_func(DTM_EXIT_NO_RESTART);
    nobody_follows();
    CHECK_EQ(GET(shared->custom[RUNS]), 1);
    finish();
}

/* An interval of its own takes the place of the back-off. */
static void restart_interval(void)
{
    struct service service = with_func(DTM_RESTART_ON_FAILURE);
    interval = 300;
    start(&service);
    for (int runs = 1; runs <= 3; runs++) {
        WAIT(GET(shared->custom[RUNS]) == runs);
        end_func(1);
        WAIT(logged("a replacement follows in 300 ms") == (uint32_t)runs);
    }
    WAIT(GET(shared->custom[RUNS]) == 4);
    end_func(0);
    nobody_follows();
    finish();
}

/* A17: its loop sees to it that it dies with the master. */
static void after_a_change_of_user(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    forgets = true;
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    kill(shared->host, SIGKILL);
    wait_host();
    WAIT(survivors(NULL, 0) == 0);
    unlink(control_path()); /* the master could not */
}

static void copies(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    count = 3;
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 3);
    CHECK_EQ(shared->custom[INDEXES], 1 | 2 | 4);
    CHECK_EQ(count_role(DTM_ROLE_FUNC), 3);
    WAIT(GET(shared->custom[TIMERS]) == 3);
    finish();
    CHECK_EQ(shared->result.forks, 3 + 1 + 3);
}

static void messages(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    WAIT(command("send %llu echo me", (unsigned long long)a_func()->spawn) == DTM_OK);
    WAIT(GET(shared->answers) == 1);
    CHECK(!strcmp(shared->answer, "echo me"));
    CHECK_EQ(shared->custom[MESSAGES], 1);
    finish();
}

static uint64_t first_spawn(uint32_t role)
{
    uint64_t spawn = 1;
    while (kid_of(spawn)->role != role)
        CHECK(++spawn <= shared->last_spawn);
    return spawn;
}

static void before_the_workers(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    start(&service);
    CHECK(first_spawn(DTM_ROLE_FUNC) < first_spawn(DTM_ROLE_WORKER));
    finish();
}

static void after_the_workers(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    phase = DTM_PHASE_AFTER_OPEN;
    shared->update_agains = 1 << 30;
    launch(&service);
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 3 && shared->updates > 3);
    CHECK_EQ(count_role(DTM_ROLE_FUNC), 0);
    SET(shared->update_agains, 0);
    WAIT(count_role(DTM_ROLE_FUNC) == 1);
    CHECK_EQ(count_open(1), 3);
    finish();
}

/* M17 to M19: it goes and comes with its generation. */
static void with_its_generation(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    struct kid *old = a_func();
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(has(old, DTM_EVENT_EXIT) && the_func());
    CHECK_EQ(old->status, 0);
    CHECK_EQ(the_func()->generation, 2);
    CHECK_EQ(command("stop"), DTM_OK);
    CHECK_EQ(count_role(DTM_ROLE_FUNC), 0);
    CHECK_EQ(command("start"), DTM_OK);
    WAIT(the_func());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void one_that_does_not_leave(void)
{
    struct service service = with_func(DTM_RESTART_ALWAYS);
    service.config.drain_timeout_ms = 1000;
    service.config.kill_grace_ms = 1000;
    start(&service);
    WAIT(GET(shared->custom[RUNS]) == 1);
    struct kid *func = a_func();
    SET(shared->custom[DISOBEYS], 1);
    finish();
    CHECK(WIFSIGNALED(func->status) && WTERMSIG(func->status) == SIGKILL);
    CHECK_EQ(shared->result.killed, 1);
}

enum { DETACHED = 10, GONE = 9 };

/* nginx's DETACHED: a process of nobody's. */
static int32_t detached_main(dtm_t *rt, void *data)
{
    dtm_self_t self;
    int listens = 0;
    socklen_t len = sizeof listens;
    CHECK(data == &restart);
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_EFORKED);
    CHECK_EQ(getsid(0), getpid());
    for (int fd = 3; fd < 1024; fd++)
        CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens);
    SET(shared->custom[DETACHED + ADD(shared->custom[RUNS], 1) - 1], (int)getpid());
    for (int i = 0; i < 60000 && !GET(shared->custom[END]); i++)
        usleep(1000);
    ADD(shared->custom[GONE], 1);
    return 0;
}

static void setup_detached(dtm_t *rt)
{
    dtm_func_t func = DTM_FUNC_INIT;
    func.name = "uploader";
    func.main = detached_main;
    func.data = &restart;
    func.restart = DTM_RESTART_DETACHED;
    CHECK_EQ(dtm_func_register(rt, &func), 0);
}

/* Neither a reload nor the end, nor the master's death is its own. */
static void detached(bool killed)
{
    struct service service = a_service();
    service.setup = setup_detached;
    start(&service);
    WAIT(GET(shared->custom[DETACHED]) > 0);
    WAIT(count_role(DTM_ROLE_FUNC) == 0); /* what had started it is done */
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(GET(shared->custom[DETACHED + 1]) > 0); /* one for each generation */
    WAIT(count_role(DTM_ROLE_FUNC) == 0);
    if (killed) {
        kill(shared->host, SIGKILL);
        wait_host();
        WAIT(survivors(NULL, 0) == 0);
    } else {
        finish();
        CHECK_EQ(shared->result.deaths, 2); /* of those that had started them, by themselves */
    }
    CHECK_EQ(GET(shared->custom[RUNS]), 2);
    CHECK(runs(shared->custom[DETACHED]) && runs(shared->custom[DETACHED + 1]));
    SET(shared->custom[END], 1);
    WAIT(GET(shared->custom[GONE]) == 2);
    WAIT(!runs(shared->custom[DETACHED]) && !runs(shared->custom[DETACHED + 1]));
}

static void detached_from_the_end(void)
{
    detached(false);
}

static void detached_from_a_death(void)
{
    detached(true);
    unlink(control_path()); /* the master could not */
}

static const struct test tests[] = {
    {"restart always", restart_always},
    {"restart on failure", restart_on_failure},
    {"run once per generation", restart_once},
    {"an interval of its own", restart_interval},
    {"asks not to be restarted", asks_not_to_be_restarted},
    {"after a change of user", after_a_change_of_user},
    {"copies", copies},
    {"messages and answers", messages},
    {"before the workers", before_the_workers},
    {"after the workers are open", after_the_workers},
    {"comes and goes with its generation", with_its_generation},
    {"one that does not leave is killed", one_that_does_not_leave},
    {"detached from the end", detached_from_the_end},
    {"detached from the master's death", detached_from_a_death},
};
TEST_MAIN(tests)
