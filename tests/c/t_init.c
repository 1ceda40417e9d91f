/*
 * The master as process 1 of a pid namespace, as in a container. Needs root.
 * faults: C12, P1
 */
#define _GNU_SOURCE /* unshare() */
#include "peer.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { GO, HOSTS_CHILD, HOSTS_STATUS, LET_GO };

/* In the host: process 1, with a /proc that agrees. */
static void as_init(void)
{
    CHECK_EQ(getpid(), 1);
    CHECK_EQ(unshare(CLONE_NEWNS), 0);
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("proc", "/proc", "proc", 0, NULL), 0);
    WAIT(GET(shared->custom[GO]));
    SET(shared->host, 1);
}

/* Something that the host itself has started, and will wait for itself. */
static int32_t run_beside_a_child(dtm_t *rt)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        WAIT(GET(shared->custom[LET_GO]));
        _exit(5);
    }
    SET(shared->custom[HOSTS_CHILD], pid);
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    if (waitpid(pid, &status, 0) == pid)
        shared->custom[HOSTS_STATUS] = WEXITSTATUS(status);
    return code;
}

/* Start it as process 1, and `drive` it from inside of its namespace. */
static void in_namespace(struct service *service, void (*drive)(void))
{
    char path[64];
    int status;
    if (geteuid() != 0 || unshare(CLONE_NEWPID) != 0) {
        fprintf(stderr, "# skipped: no pid namespaces here\n");
        return;
    }
    service->before = as_init;
    launch(service);
    pid_t init = shared->host;
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)init);
    SET(shared->custom[GO], 1);
    WAIT(GET(shared->host) == 1); /* its mounts are made */
    int mounts = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(mounts >= 0);
    pid_t driver = fork();
    if (driver == 0) {
        sigset_t all; /* what disturbs the service must not disturb us */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        CHECK_EQ(setns(mounts, CLONE_NEWNS), 0);
        WAIT(count_open(1) == 3);
        drive();
        CHECK_EQ(kill(1, SIGTERM), 0);
        _exit(0);
    }
    close(mounts);
    WAIT(ended(driver, &status));
    CHECK_EQ(status, 0);
    SET(shared->host, init);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
}

/* A process whose parent has gone; it ends when `*told`. */
static pid_t orphan(volatile int *told)
{
    volatile pid_t *pid = shared_memory(sizeof *pid);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t child = fork();
        if (child == 0) {
            WAIT(*told && getppid() == 1);
            _exit(3);
        }
        *pid = child;
        _exit(0);
    }
    CHECK_EQ(waitpid(parent, NULL, 0), parent);
    return *pid;
}

/* P1: 40 strangers end, some at once; all are waited for, and nothing else happens. */
static void drive_strangers(void)
{
    pid_t strangers[40];
    volatile int *told = shared_memory(sizeof *told);
    pid_t before[] = {nth_open(0)->pid, nth_open(1)->pid, nth_open(2)->pid};
    for (int i = 0; i < 40; i++)
        strangers[i] = orphan(told);
    CHECK_EQ(state_of(strangers[0]) != 0, 1);
    SET(shared->custom[LET_GO], 1);
    *told = 1;
    for (int i = 0; i < 40; i++)
        WAIT(state_of(strangers[i]) == 0);
    WAIT(state_of(shared->custom[HOSTS_CHILD]) == 'Z'); /* the host's own is not taken */
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(nth_open(i)->pid, before[i]);
    CHECK(serves());
    end_kid(nth_open(0), SIGKILL); /* its own dead are noticed as ever */
    WAIT(count_open(1) == 3);
}

static void strangers(void)
{
    struct service service = a_service();
    service.run = run_beside_a_child;
    in_namespace(&service, drive_strangers);
    if (shared->running) {
        CHECK_EQ(shared->custom[HOSTS_STATUS], 5);
        CHECK_EQ(shared->result.deaths, 1);
    }
}

/* Whose default action would be ignored for process 1: TERM ends it gracefully. */
static void drive_signals(void)
{
    int fd = dial(shared->port[0]);
    CHECK_EQ(kill(1, SIGHUP), 0);
    WAIT(shared->reloads == 1 && count_open(2) == 3 && count_open(1) == 0);
    if (dtm_signal_running(shared->error, 0) != 1)
        fail_at(__FILE__, __LINE__, "%s: %s", dtm_last_error(), slurp(shared->error));
    shared->error[0] = 0;
    hang_up(fd);
}

/* C12: a container's pid file outlives it, and names process 1, as each new one is. */
static void signals_and_pid_file(void)
{
    char path[128];
    struct service service = a_service();
    snprintf(path, sizeof path, "%s/pid", scratch());
    FILE *f = fopen(path, "we");
    CHECK(f && fputs("1\nstart=7\nboot=x\n", f) >= 0 && fclose(f) == 0);
    snprintf(shared->error, sizeof shared->error, "%s", path); /* for drive_signals() */
    service.config.pid_file = path;
    in_namespace(&service, drive_signals);
    CHECK_EQ(unlink(path), shared->running ? -1 : 0); /* it has been removed */
}

static const struct test tests[] = {
    {"strangers are reaped", strangers},
    {"signals and pid file", signals_and_pid_file},
};
TEST_MAIN(tests)
