/*
 * Programs around us that do with signals what they should not.
 * faults: C07, C08, C09
 */
#define _GNU_SOURCE /* pipe2() */
#include "peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int32_t requests(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                        size_t size)
{
    (void)rt, (void)client;
    if (!strncmp(line, "mask", 4)) { /* of a program that it starts */
        FILE *f = popen("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -s '\\t\\n' ' '", "re");
        CHECK(f && fgets(reply, (int)size, f));
        pclose(f);
        return DTM_READ;
    }
    return NOT_MINE;
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
    {"C07 blocked and ignored", blocked_and_ignored},
    {"C08 broken pipes", broken_pipes},
    {"C09 stolen handlers, open threads", stolen_handlers},
};
TEST_MAIN(tests)
