/*
 * Signals at the worst time, to the wrong process, too many of them.
 * faults: C02, C03, C04, C06
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STORM_STOP, SENT, HELPER, SLOW_MS };

static void sleep_ms(int ms)
{
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

/* How many generations are starting: some of their workers live, but are not open. */
static int generations_that_start(void)
{
    bool starts[4096] = {false};
    int count = 0;
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->role != DTM_ROLE_WORKER || has(kid, DTM_EVENT_OPEN) ||
            has(kid, DTM_EVENT_DRAINING) || has(kid, DTM_EVENT_EXIT))
            continue;
        count += !starts[kid->generation % 4096];
        starts[kid->generation % 4096] = true;
    }
    return count;
}

/* The host's own again when dtm_run() has returned, in the middle of the storm. */
static void unmoved(void)
{
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_IGN);
}

/* A look at the storm. Is it over? */
static bool look_at_storm(int *most, int *served)
{
    int now = generations_that_start();
    *most = now > *most ? now : *most;
    *served += serves();
    return GET(shared->reloads) >= 20 && GET(shared->custom[SENT]) >= 10000;
}

/* C02: some 50,000 signals a second, with a pause in between: what nothing else could run
 * beside would test the scheduler. One reload at a time; TERM is not lost in it. */
static void storm(void)
{
    static const int signals[] = {SIGHUP, SIGUSR1, SIGCHLD, SIGALRM};
    pid_t storms[4];
    struct service service = a_service();
    service.before = unmoved;
    start(&service);
    for (int i = 0; i < 4; i++) {
        storms[i] = fork();
        if (storms[i] == 0) {
            while (!GET(shared->custom[STORM_STOP])) {
                for (int n = 0; n < 4 && kill(shared->host, signals[n]) == 0; n++)
                    ADD(shared->custom[SENT], 1);
                usleep(200);
            }
            _exit(0);
        }
    }
    int starting = 0, served = 0;
    WAIT(look_at_storm(&starting, &served));
    CHECK_LE(starting, 1);
    CHECK(served > 0);
    CHECK(GET(shared->custom[SENT]) > 10 * GET(shared->reloads)); /* they are coalesced */
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    WAIT(ended(shared->host, NULL)); /* in the middle of it */
    SET(shared->custom[STORM_STOP], 1);
    for (int i = 0; i < 4; i++)
        WAIT(ended(storms[i], NULL));
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(shared->result.signal, SIGTERM);
}

/* C03: a signal that comes to a child before it has handlers of its own: it is not lost,
 * and it is not the master's. 0 to 25 ms after its fork, which takes 15 ms. */
static void before_it_has_handlers(void)
{
    struct service service = a_service();
    service.fault = "child.born=sleep:15@*";
    start(&service);
    for (int ms = 0; ms <= 25; ms++) {
        uint64_t next = GET(shared->last_spawn) + 1;
        end_kid(nth_open(0), SIGKILL);
        WAIT(GET(shared->last_spawn) >= next);
        struct kid *kid = kid_of(next);
        sleep_ms(ms);
        CHECK_EQ(kill(kid->pid, SIGHUP), 0);
        CHECK_EQ(kill(kid->pid, SIGTERM), 0);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK(WIFEXITED(kid->status)); /* in order, not by a default action */
        CHECK_EQ(WEXITSTATUS(kid->status), 0);
        WAIT(count_open(1) == 3);
    }
    CHECK_EQ(shared->reloads, 0); /* the parent's handler would have made one of HUP */
    finish();
}

/* A process that only waits to be killed, with whatever handlers it has inherited: what it
 * is sent does what it did before dtm_run(). */
static pid_t helper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static int32_t fork_in_the_master(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    (void)path, (void)user_data;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_MASTER && GET(shared->last_spawn) > 0 &&
        GET(shared->custom[HELPER]) == 0)
        SET(shared->custom[HELPER], helper());
    return 0;
}

static int32_t requests(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                        size_t size)
{
    (void)rt, (void)client;
    if (!strcmp(line, "helper")) {
        snprintf(reply, size, "%d", (int)helper());
        return DTM_READ;
    }
    return NOT_MINE;
}

/* C04: a fork of the service's own has our handlers, our eventfd: its signals are its own. */
static void signals_of_a_fork(void)
{
    struct service service = a_service();
    service.before = unmoved;
    service.request = requests;
    service.callbacks.config_load = fork_in_the_master;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *worker = kid_at(fd);
    pid_t of_worker = atoi(ask(fd, "helper"));
    kill(shared->host, SIGALRM); /* loadconf */
    WAIT(GET(shared->custom[HELPER]) > 0);
    pid_t of_master = GET(shared->custom[HELPER]);
    WAIT(state_of(worker->pid) == 'S' && state_of(shared->host) == 'S');
    uint64_t before = switches_of(worker->pid) + switches_of(shared->host);
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGQUIT};
    for (int i = 0; i < 100; i++) {
        int sig = signals[(size_t)i % (sizeof signals / sizeof signals[0])];
        kill(of_worker, sig), kill(of_master, sig);
        sleep_ms(2); /* an eventfd counts what comes at once as one */
    }
    WAIT(state_of(of_worker) == 'S' && state_of(of_master) == 'S');
    /* Nobody was even woken. */
    CHECK_LE(switches_of(worker->pid) + switches_of(shared->host) - before, 40);
    for (int i = 0; i < 10; i++) { /* whatever had reached a loop would have been done */
        who(fd);
        CHECK_EQ(command("loadconf"), DTM_OK);
    }
    CHECK_EQ(shared->reloads, 0);
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(worker->drains, 0);
    kill(of_worker, SIGKILL), kill(of_master, SIGKILL);
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static int32_t (*base_init)(dtm_t *rt, void *user_data);

static int32_t slow_init(dtm_t *rt, void *user_data)
{
    SET(shared->blocked, 1);
    sleep_ms(shared->custom[SLOW_MS]);
    return base_init(rt, user_data);
}

/* C06: told to end before the first init has ended; and told again and again. */
static void told_early_and_often(void)
{
    struct service service = a_service();
    base_init = service.callbacks.worker_init;
    service.callbacks.worker_init = slow_init;
    shared->custom[SLOW_MS] = 300;
    launch(&service);
    WAIT(GET(shared->blocked));
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(shared->result.killed, 0);
    CHECK_EQ(count_events(DTM_EVENT_OPEN, DTM_ROLE_WORKER), 0);

    service = a_service(); /* no time is up in this one */
    service.config.drain_timeout_ms = service.config.kill_grace_ms = 3600000;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "block"); /* deaf to everything milder than SIGKILL */
    WAIT(shared->blocked == 1);
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    WAIT(logged("graceful shutdown begins"));
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    WAIT(logged("fast shutdown begins"));
    CHECK(runs(kid->pid));
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    ended_well();
    CHECK_EQ(WTERMSIG(kid->status), SIGKILL);
    CHECK_EQ(shared->result.reason, DTM_END_FAST);
    hang_up(fd);
}

static const struct test tests[] = {
    {"C02 storm", storm},
    {"C03 before it has handlers", before_it_has_handlers},
    {"C04 signals of a fork", signals_of_a_fork},
    {"C06 told early and often", told_early_and_often},
};
TEST_MAIN(tests)
