/*
 * Signals at the worst time, to the wrong process, too many of them; and programs around
 * us that do with signals what they should not.
 * faults: C02, C03, C04, C06, C07, C08, C09
 */
#define _GNU_SOURCE /* dup3() */
#include "peer.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STORM_STOP, SENT, HELPER, SLOW_MS, THREADS };

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
    signal(SIGHUP, SIG_IGN), signal(SIGUSR1, SIG_IGN), signal(SIGALRM, SIG_IGN);
}

/* A look at the storm. Is it over? */
static bool look_at_storm(int *most, int *served)
{
    int now = generations_that_start();
    *most = now > *most ? now : *most;
    *served += serves();
    return GET(shared->reloads) >= 20 && GET(shared->custom[SENT]) >= 10000;
}

/* C02: as fast as four processes can. One reload at a time; TERM is not lost in it. */
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
            while (!GET(shared->custom[STORM_STOP]))
                for (int n = 0; n < 4 && kill(shared->host, signals[n]) == 0; n++)
                    ADD(shared->custom[SENT], 1);
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

/* A process that only waits to be killed, with whatever handlers it has inherited. */
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
    if (!strncmp(line, "mask", 4)) { /* of a program that it starts */
        FILE *f = popen("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -s '\\t\\n' ' '", "re");
        CHECK(f && fgets(reply, (int)size, f));
        pclose(f);
        return DTM_READ;
    }
    return NOT_MINE;
}

/* C04: a fork of the service's own has our handlers, our eventfd: its signals are its own. */
static void signals_of_a_fork(void)
{
    struct service service = a_service();
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
    for (int i = 0; i < 100; i++) {
        kill(of_worker, SIGTERM), kill(of_worker, SIGUSR1);
        kill(of_master, SIGTERM), kill(of_master, SIGHUP);
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

static void all_blocked(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

static void one_blocked(void)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + 3);
    sigprocmask(SIG_SETMASK, &one, NULL);
}

static void masks(const char *text, unsigned long long *ret_blocked,
                  unsigned long long *ret_ign)
{
    CHECK_EQ(sscanf(text, "SigBlk: %llx SigIgn: %llx", ret_blocked, ret_ign), 2);
}

/* C07: a host with odd habits. What its children start has its mask, but for the signals
 * that libdtm lets in: a program that could not be stopped would be of no use. */
static void blocked_and_ignored(void)
{
    unsigned long long blocked, ignored;
    unsigned long long rt3 = 1ULL << (SIGRTMIN + 3 - 1), term = 1ULL << (SIGTERM - 1);
    struct service service = a_service();
    service.before = one_blocked;
    service.request = requests;
    start(&service);
    int fd = dial(shared->port[0]);
    masks(ask(fd, "mask"), &blocked, &ignored);
    CHECK_EQ(blocked, rt3);
    hang_up(fd);
    finish();

    service = a_service();
    service.before = all_blocked;
    service.request = requests;
    start(&service);
    end_kid(nth_open(0), SIGKILL); /* SIGCHLD was ignored, and blocked */
    WAIT(count_open(1) == 3);
    fd = dial(shared->port[0]);
    masks(ask(fd, "mask"), &blocked, &ignored);
    CHECK((blocked & rt3) && !(blocked & term) && !(ignored & term));
    CHECK(ignored & 1ULL << (SIGPIPE - 1)); /* the host's wish */
    hang_up(fd);
    CHECK_EQ(command("reload"), DTM_OK);
    finish();
}

static int log_pipe[2];

static void deaf_stderr(void)
{
    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(dup2(log_pipe[1], 2), 2);
    close(log_pipe[0]), close(log_pipe[1]); /* nobody reads it, ever */
}

/* C08: SIGPIPE kills by default. None of ours is ever raised: not by the log, not by an
 * operator who does not wait for the answer, not by a channel whose child has died. */
static void broken_pipes(void)
{
    char address[160];
    struct service service = a_service();
    service.before = deaf_stderr;
    service.config.log_target = "stderr";
    CHECK_EQ(pipe2(log_pipe, O_CLOEXEC), 0);
    launch(&service);
    close(log_pipe[0]), close(log_pipe[1]);
    WAIT(count_open(0) == 3 && controller());
    snprintf(address, sizeof address, "unix:%s", control_path());
    for (int i = 0; i < 20; i++) {
        int fd = dial_address(address);
        say(fd, i % 2 ? "loadconf" : "pid");
        close(fd);
        fd = dial(shared->port[0]);
        say(fd, "echo x");
        struct linger reset = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    for (int i = 0; i < 6; i++) { /* messages are on their way to it */
        struct kid *kid = nth_open(0);
        command("all 1 hello");
        kill(kid->pid, SIGKILL);
        command("all 1 hello");
        WAIT(has(kid, DTM_EVENT_EXIT) && count_open(1) == 3);
    }
    CHECK(serves());
    CHECK_EQ(count_role(DTM_ROLE_CONTROLLER), 1);
    CHECK_EQ(controller()->spawn, 1);
    finish();
    CHECK_EQ(shared->result.deaths, 6);
}

static void *rest(void *data)
{
    for (;;)
        pause();
    return data;
}

/* Threads that let every signal in: the kernel may choose any of them. */
static void threads_with_open_masks(dtm_t *rt)
{
    pthread_t thread;
    sigset_t none;
    (void)rt;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&thread, NULL, rest, NULL), 0);
}

static int32_t steal_signals(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    (void)path, (void)user_data;
    ADD(shared->config_loads, 1);
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_MASTER && GET(shared->last_spawn) > 0) {
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGCHLD, SIG_DFL);
    }
    return 0;
}

/* C09: the host takes our signals for itself, and lets all its threads have them. */
static void stolen_handlers(void)
{
    struct service service = a_service();
    service.config.flags = DTM_F_ALLOW_THREADS;
    service.setup = threads_with_open_masks;
    service.callbacks.config_load = steal_signals;
    start(&service);
    for (uint32_t i = 1; i <= 20; i++) { /* whoever runs the handler */
        kill(shared->host, SIGALRM);
        WAIT(GET(shared->config_loads) > (int)i);
        /* What comes while a signal is ignored is nobody's. */
        WAIT(logged("replaced libdtm's handler of SIGHUP: taking it back") == i);
        WAIT(logged("replaced libdtm's handler of SIGTERM: taking it back") == i);
        WAIT(logged("replaced libdtm's handler of SIGCHLD: taking it back") == i);
    }
    CHECK_EQ(kill(shared->host, SIGHUP), 0);
    WAIT(shared->reloads == 1 && count_open(2) == 3);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(2) == 3);
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->run_code, DTM_OK);
    check_no_survivors();
}

static const struct test tests[] = {
    {"C02 storm", storm},
    {"C03 before it has handlers", before_it_has_handlers},
    {"C04 signals of a fork", signals_of_a_fork},
    {"C06 told early and often", told_early_and_often},
    {"C07 blocked and ignored", blocked_and_ignored},
    {"C08 broken pipes", broken_pipes},
    {"C09 stolen handlers, open threads", stolen_handlers},
};
TEST_MAIN(tests)
