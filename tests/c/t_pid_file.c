/*
 * Which process the service is: pid file, and into the background.
 * faults: C13, P2
 */
#define _GNU_SOURCE /* pipe2() */
#include "peer.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

static const char *pid_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/pid", scratch());
    return path;
}

static struct service with_pid_file(void)
{
    struct service service = a_service();
    service.config.pid_file = pid_path();
    return service;
}

static void write_pid_file(const char *text)
{
    FILE *f = fopen(pid_path(), "we");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static pid_t in_pid_file(void)
{
    return (pid_t)atoi(slurp(pid_path()));
}

/* A process that has nothing to do with it. */
static pid_t stranger(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        setsid(); /* not one of this case's processes */
        for (;;)
            pause();
    }
    CHECK(pid > 0);
    WAIT(getsid(pid) == pid);
    return pid;
}

static void dismiss(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    WAIT(ended(pid, NULL));
}

/* It names the master while that runs, and is gone afterwards. */
static void pid_file_at_work(void)
{
    struct service service = with_pid_file();
    CHECK_EQ(dtm_signal_running(pid_path(), 0), -ENOENT);
    start(&service);
    CHECK_EQ(in_pid_file(), shared->host);
    CHECK_EQ(dtm_signal_running(pid_path(), 0), shared->host);
    CHECK_EQ(dtm_signal_running(pid_path(), SIGHUP), shared->host);
    WAIT(shared->reloads == 1);
    /* Only the master holds it: that is all that keeps it locked. */
    CHECK(!strstr(proc_link(nth_open(0)->pid, "fd/9"), "/pid"));
    CHECK_EQ(dtm_signal_running(pid_path(), SIGTERM), shared->host);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(dtm_signal_running(pid_path(), 0), -ENOENT);
    CHECK_EQ(dtm_signal_running(pid_path(), -1), DTM_EINVAL);
    CHECK_EQ(dtm_signal_running(NULL, 0), DTM_EINVAL);
}

/* No file is stale to a lock: whatever number it holds, the service starts. C13 */
static void stale_pid_files(void)
{
    char text[4][256];
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    WAIT(ended(dead, NULL));
    snprintf(text[0], sizeof text[0], "%d\n", (int)dead);
    snprintf(text[1], sizeof text[1], "%d\n", (int)getpid()); /* its parent's */
    text[2][0] = 0;

    struct service service = with_pid_file();
    start(&service);
    snprintf(text[3], sizeof text[3], "%.255s", slurp(pid_path()));
    kill(shared->host, SIGKILL); /* nobody removes the file */
    CHECK_EQ(WTERMSIG(wait_host()), SIGKILL);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(atoi(text[3]), shared->host);
    unlink(control_path());

    for (int i = 0; i < 4; i++) {
        service = with_pid_file();
        write_pid_file(text[i]);
        CHECK_EQ(dtm_signal_running(pid_path(), SIGKILL), -ESRCH);
        start(&service);
        CHECK_EQ(in_pid_file(), shared->host);
        finish();
    }
    write_pid_file("precious\n");
    service = with_pid_file();
    launch(&service);
    refused_with("pid");
    CHECK(strstr(shared->error, "left alone"));
    CHECK_TEXT(slurp(pid_path()), "precious\n");
    unlink(pid_path());
}

/* The pid of a process that lives and is none of ours: it is never signalled. P2 */
static void strangers_pid(void)
{
    char text[256];
    pid_t other = stranger();
    struct service service = with_pid_file();
    snprintf(text, sizeof text, "%d\n", (int)other);
    write_pid_file(text);
    CHECK_EQ(dtm_signal_running(pid_path(), SIGKILL), -ESRCH);
    start(&service);
    CHECK_EQ(in_pid_file(), shared->host);
    /* Locked, but it names somebody else: the same. */
    char forged[320];
    snprintf(forged, sizeof forged, "%d\nstart=1\n%s", (int)other,
             strstr(slurp(pid_path()), "boot="));
    int fd = open(pid_path(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    CHECK_EQ(write(fd, forged, strlen(forged)), (ssize_t)strlen(forged));
    close(fd);
    CHECK_EQ(dtm_signal_running(pid_path(), SIGKILL), -ESRCH);
    CHECK(strstr(dtm_last_error(), "nobody was signalled"));
    CHECK(runs(other));
    finish();
    CHECK_EQ(in_pid_file(), other); /* not ours to remove any more */
    unlink(pid_path());
    dismiss(other);
}

/* The second one ends before it forks, and takes nothing from the first. */
static void second_instance(void)
{
    struct service service = with_pid_file();
    start(&service);
    struct shared *first = shared;
    struct service second = with_pid_file();
    second.without_control = true;
    launch(&second);
    CHECK_EQ(wait_host(), 0);
    CHECK(strstr(shared->error, "runs already"));
    CHECK_EQ(shared->run_code, -EBUSY);
    CHECK_EQ(shared->last_spawn, 0);
    shared = first;
    CHECK_EQ(in_pid_file(), shared->host);
    CHECK(serves());
    finish();
}

static int32_t only_check(dtm_t *rt)
{
    shared->check_code = dtm_check(rt);
    return dtm_signal_running(NULL, 0);
}

/* `-t` beside a running instance: it is no obstacle. And NULL is the configured file. */
static void check_beside_it(void)
{
    struct service service = with_pid_file();
    start(&service);
    struct shared *first = shared;
    struct service check = with_pid_file();
    check.without_control = true;
    check.run = only_check;
    launch(&check);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->check_code, DTM_OK);
    CHECK_EQ(shared->run_code, first->host);
    shared = first;
    CHECK_EQ(in_pid_file(), shared->host);
    finish();
    check = with_pid_file();
    check.run = only_check;
    launch(&check);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->check_code, DTM_OK);
    CHECK_EQ(shared->run_code, -ENOENT); /* a check leaves no file */
}

static int32_t note_master(dtm_t *rt, const char *path, void *user_data)
{
    (void)rt, (void)path, (void)user_data;
    dtm_self_t self;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_MASTER)
        SET(shared->host, getpid());
    return 0;
}

static int errors[2];

static void stderr_to_a_pipe(void)
{
    CHECK_EQ(dup2(errors[1], 2), 2);
    close(errors[0]), close(errors[1]);
}

static struct service in_the_background(void)
{
    struct service service = with_pid_file();
    service.config.daemonize = 1;
    service.callbacks.config_load = note_master;
    service.before = stderr_to_a_pipe;
    CHECK_EQ(pipe2(errors, O_CLOEXEC), 0);
    return service;
}

/* All that was written to stderr, by whoever had it, until nobody has it any more. */
static const char *said(void)
{
    static char text[4096];
    size_t len = 0;
    close(errors[1]);
    for (ssize_t n; (n = read(errors[0], text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    close(errors[0]);
    text[len] = 0;
    return text;
}

/* The one that was started leaves with 0 when the first generation is open. */
static void background(void)
{
    int status;
    struct service service = in_the_background();
    launch(&service);
    pid_t started = shared->host;
    WAIT(ended(started, &status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_TEXT(said(), ""); /* and nobody has its stderr any more */
    pid_t master = GET(shared->host);
    CHECK(master != started && runs(master));
    CHECK_EQ(in_pid_file(), master);
    CHECK_EQ(count_open(1), 3);
    CHECK(serves());
    CHECK(getsid(master) != getsid(0) && getsid(master) != master); /* gets no terminal */
    struct kid *worker = nth_open(0);
    for (int fd = 0; fd < 3; fd++) {
        char name[8];
        snprintf(name, sizeof name, "fd/%d", fd);
        CHECK_TEXT(proc_link(master, name), "/dev/null");
        CHECK_TEXT(proc_link(worker->pid, name), "/dev/null");
    }
    CHECK_TEXT(proc_link(master, "cwd"), "/");
    CHECK_EQ(kill(master, SIGHUP), 0);
    WAIT(shared->reloads == 1);
    finish(); /* which also removes the control socket: the file is the master's */
}

/* It leaves with 1 and the reason, and nothing is left running. */
static void background_that_fails(void)
{
    int status;
    struct service service = in_the_background();
    shared->init_trouble = FAIL;
    launch(&service);
    pid_t started = shared->host;
    WAIT(ended(started, &status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    const char *text = said();
    if (!strstr(text, "test: cannot start: worker") ||
        !strstr(text, "its last words: the init callback has trouble"))
        fail_at(__FILE__, __LINE__, "it said: %s", text);
    WAIT(ended(GET(shared->host), &status));
    CHECK_EQ(shared->run_code, DTM_EFAILED);
    CHECK_EQ(shared->result.reason, DTM_END_START_FAILED);
    CHECK_EQ(shared->fds_after, shared->fds_before);
    CHECK_EQ(dtm_signal_running(pid_path(), 0), -ENOENT);
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++)
        CHECK(!runs(kid_of(spawn)->pid));

    struct service first = with_pid_file();
    start(&first);
    struct shared *running = shared;
    struct service second = in_the_background();
    second.without_control = true;
    launch(&second);
    started = shared->host;
    WAIT(ended(started, &status));
    CHECK_EQ(WEXITSTATUS(status), 1);
    CHECK(strstr(said(), "runs already"));
    CHECK_EQ(shared->last_spawn, 0);
    shared = running;
    finish();
}

static const struct test tests[] = {
    {"pid file at work", pid_file_at_work},
    {"stale pid files", stale_pid_files},
    {"pid of a stranger", strangers_pid},
    {"second instance", second_instance},
    {"check beside a running instance", check_beside_it},
    {"in the background", background},
    {"in the background: start fails", background_that_fails},
};
TEST_MAIN(tests)
