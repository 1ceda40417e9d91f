/*
 * What happens when the service forks by itself, and the child is not where it should be. I04
 * flow: M21
 */
#include "peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a process that the service forked by itself: nothing works, and its exit
 * takes nothing with it. */
static int from_a_fork(dtm_t *rt, dtm_client_t *client)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        dtm_self_t self;
        int wrong = dtm_self(rt, &self, sizeof self) != DTM_EFORKED ||
                    dtm_client_fd(client) != DTM_EFORKED || dtm_client_data(client) ||
                    dtm_client_set_busy(client, 0) != DTM_EFORKED ||
                    dtm_client_set_busy(client, 1) != DTM_EFORKED ||
                    dtm_client_close(client) != DTM_EFORKED ||
                    dtm_client_release(client) != DTM_EFORKED || dtm_leave(rt) != DTM_EFORKED ||
                    dtm_request(DTM_CMD_SHUTDOWN) != DTM_EFORKED ||
                    dtm_run(rt, NULL, 0) != DTM_EFORKED;
        dtm_free(rt);
        exit(wrong);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* A fork that goes on where its parent does: with the parent's state, and its epoll. */
enum { STRAYS, LAST_STRAY, STRAYS_GONE };

static bool fork_a_stray(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) {
        SET(shared->custom[LAST_STRAY], (int)pid);
        ADD(shared->custom[STRAYS], 1);
    }
    return pid == 0;
}

/* A fork that keeps all that is open, until it is killed. */
static void fork_a_keeper(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    SET(shared->custom[LAST_STRAY], (int)pid);
}

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    int code = 0;
    if (!strcmp(line, "keeper")) {
        fork_a_keeper();
    } else if (!strcmp(line, "fork")) {
        code = from_a_fork(rt, client);
    } else if (!strcmp(line, "stray")) {
        if (fork_a_stray())
            return NO_REPLY;
    } else if (!strcmp(line, "bury")) {
        CHECK_EQ(waitpid(GET(shared->custom[LAST_STRAY]), &code, WNOHANG),
                 GET(shared->custom[LAST_STRAY]));
    } else {
        return NOT_MINE;
    }
    snprintf(reply, size, "%d", code);
    return DTM_READ;
}

static struct service forking(void)
{
    struct service service = a_service();
    service.request = request;
    return service;
}

static void forked_by_the_service(void)
{
    struct stat st;
    struct service service = forking();
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "fork")), 0);
    CHECK_EQ(stat(control_path(), &st), 0);
    who(fd);
    hang_up(fd);
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* A child of the service's own that comes back from the callback must not go on as
 * the worker: both would serve the same clients. */
static void stray_worker(void)
{
    struct service service = forking();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(atoi(ask(fd, "stray")), 0);
        WAIT(state_of(GET(shared->custom[LAST_STRAY])) == 'Z');
        int status = atoi(ask(fd, "bury"));
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == DTM_EXIT_BROKEN);
    }
    for (int i = 0; i < 10; i++)
        CHECK(serves());
    int other = dial_worker(kid);
    CHECK_EQ(who(other).pid, kid->pid);
    CHECK_EQ(who(fd).pid, kid->pid);
    hang_up(fd), hang_up(other);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
    CHECK_EQ(shared->custom[STRAYS], 3);
}

static dtm_event_cb base_event;

static void event_that_strays(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    base_event(rt, event, user_data);
    fork_a_stray();
}

/* A client that a fork of the service's own has, too, is not reported for ever when
 * it is gone here. */
static void kept_client(void)
{
    struct service service = forking();
    service.config.workers = 1;
    start(&service);
    pid_t worker = nth_open(0)->pid;
    int fd = dial(shared->port[0]);
    ask(fd, "keeper");
    hang_up(fd);
    WAIT(GET(shared->closed[DTM_CLOSE_DONE]) + GET(shared->closed[DTM_CLOSE_PEER]) > 0);
    for (int asleep = 0; asleep < 50; asleep++) {
        WAIT(state_of(worker) == 'S');
        observe(1);
        CHECK_EQ(state_of(worker), 'S');
    }
    CHECK(serves());
    kill(GET(shared->custom[LAST_STRAY]), SIGKILL);
    finish();
}

enum { TOLD = 42 };

static void leave_told(int sig)
{
    (void)sig;
    _exit(TOLD);
}

/* In the host: what signals do before libdtm takes them. */
static void set_dispositions(void)
{
    static const int plain[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGALRM};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        signal(plain[i], SIG_DFL);
    signal(SIGUSR2, leave_told);
    signal(SIGWINCH, SIG_IGN);
}

/* The wait status of a fork of the worker at `fd`, after these signals. */
static int keeper_after(int fd, int first, int second)
{
    CHECK_EQ(atoi(ask(fd, "keeper")), 0);
    pid_t pid = GET(shared->custom[LAST_STRAY]);
    CHECK_EQ(kill(pid, first), 0);
    CHECK_EQ(kill(pid, second), 0);
    WAIT(state_of(pid) == 'Z');
    return atoi(ask(fd, "bury"));
}

/* A signal does to it what it would have done to the host; to the worker it does not. */
static void signals_of_a_fork(void)
{
    static const int fatal[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGALRM};
    struct service service = forking();
    service.before = set_dispositions;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        int status = keeper_after(fd, SIGWINCH, fatal[i]);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == fatal[i]);
    }
    int status = keeper_after(fd, SIGUSR2, SIGUSR2);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == TOLD);
    CHECK_EQ(who(fd).pid, kid->pid);
    end_kid(kid, SIGTERM); /* and ours is as ever */
    CHECK_EQ(kid->status, 0);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    finish();
}

/* All that dtm_run() leaves is what the service itself forked. */
static int32_t run_and_bury(dtm_t *rt)
{
    int status;
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    while (waitpid(-1, &status, 0) > 0) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == DTM_EXIT_BROKEN);
        ADD(shared->custom[STRAYS_GONE], 1);
    }
    return code;
}

/* The same in the master: there is never a second one. */
static void stray_master(void)
{
    struct service service = a_service();
    base_event = service.callbacks.event;
    service.callbacks.event = event_that_strays;
    service.run = run_and_bury;
    start(&service);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK(serves());
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(state_of(GET(shared->custom[LAST_STRAY])) == 'Z');
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.forks, 4 + 1 + 3);
    CHECK_EQ(shared->result.deaths, 1);
    CHECK_EQ(shared->last_spawn, 4 + 1 + 3);
    CHECK(shared->custom[STRAYS] >= 4 * 4);
    CHECK_EQ(shared->custom[STRAYS_GONE], shared->custom[STRAYS]);
}

static const struct test tests[] = {
    {"I04 a fork of the service's own", forked_by_the_service},
    {"I04 a fork that keeps a client", kept_client},
    {"I04 signals to a fork", signals_of_a_fork},
    {"I04 a fork that returns from its step", stray_worker},
    {"I04 a fork that returns from the event callback", stray_master},
};
TEST_MAIN(tests)
