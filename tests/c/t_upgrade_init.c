/*
 * An upgrade as process 1 of a container: it cannot leave, so it stays behind.
 * flow: L2
 */
#define _GNU_SOURCE
#include "upgrade.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The service as process 1 of a pid namespace, with a /proc of its own. */
static void start_as_init(void)
{
    prepare_with(1);
    first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_EQ(unshare(CLONE_NEWPID | CLONE_NEWNS), 0);
        pid_t init = fork();
        CHECK(init >= 0);
        if (init == 0) {
            CHECK_EQ(getpid(), 1);
            CHECK_EQ(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
            CHECK_EQ(mount("proc", "/proc", "proc", 0, NULL), 0);
            exec_service("0", "2");
        }
        /* Its parent outside, as a container's manager. */
        int status = -1;
        write_file("standard", "");
        FILE *file = fopen(at("standard"), "we");
        fprintf(file, "%d\n", init);
        fclose(file);
        while (waitpid(init, &status, 0) < 0 && errno == EINTR)
            continue;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
    }
    WAIT(in_log("open for business") == 2);
    WAIT(in_log("has the control lock") == 1);
}

/* Process 1's number outside. */
static pid_t init_pid(void)
{
    int pid = 0;
    FILE *file = fopen(at("standard"), "re");
    CHECK(file && fscanf(file, "%d", &pid) == 1);
    fclose(file);
    return pid;
}

/* How many processes have this name (comm). */
static int named(const char *name)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    CHECK(proc);
    for (struct dirent *entry; (entry = readdir(proc));) {
        char path[300], comm[32] = "";
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        count += fgets(comm, sizeof comm, file) && !strncmp(comm, name, strlen(name));
        fclose(file);
    }
    closedir(proc);
    return count;
}

/* In its namespace, a process loses its parent and ends: process 1 has to wait for it. */
static void an_orphan_ends(pid_t init)
{
    char path[64], name[16];
    int ends[2], status;
    CHECK_EQ(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/%d/ns/pid", init);
    snprintf(name, sizeof name, "orphan%d", (int)getpid() % 100000);
    pid_t parent = fork();
    if (parent == 0) {
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(ns >= 0);
        CHECK_EQ(setns(ns, CLONE_NEWPID), 0);
        pid_t middle = fork();
        if (middle == 0) {
            if (fork() == 0) {
                char byte;
                prctl(PR_SET_NAME, name);
                close(ends[1]);
                _exit((int)read(ends[0], &byte, 1)); /* until the driver lets go */
            }
            _exit(0);
        }
        waitpid(middle, &status, 0);
        _exit(0);
    }
    CHECK_EQ(waitpid(parent, &status, 0), parent);
    close(ends[0]);
    WAIT(named(name) == 1);
    close(ends[1]);
    WAIT(named(name) == 0);
}

static void process_1_stays(void)
{
    start_as_init();
    pid_t init = init_pid();
    CHECK_EQ(pid_in_file(), 1);
    an_orphan_ends(init);
    struct load *load = load_start(2);
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    WAIT(who_serves().version == 2);
    WAIT(in_log("process 1 stays") == 1);
    CHECK(pid_in_file() > 1);
    CHECK(runs(init));
    an_orphan_ends(init);
    uint64_t sockets[64]; /* nothing of the service is left in it but the link */
    WAIT(sockets_of(init, sockets, 64) <= 1);

    /* It passes signals on: the next upgrade is asked for at process 1, which has to follow. */
    int second = pid_in_file();
    install(1);
    CHECK_EQ(kill(init, SIGUSR2), 0);
    WAIT(who_serves().version == 1);
    WAIT(pid_in_file() > 1 && pid_in_file() != second);
    WAIT(nth_end(1).version == 2); /* the second one has left, the first one has not */
    CHECK_EQ(nth_end(1).reason, DTM_END_UPGRADED);
    CHECK(runs(init));
    load_stop(load);
    check_load(load);

    /* And its end is the service's. */
    int status = -1;
    CHECK_EQ(kill(init, SIGTERM), 0);
    WAIT(ended(first, &status));
    CHECK_EQ(status, 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK(access(at("socket"), F_OK) != 0);
    CHECK_EQ(nth_end(2).version, 1);
    CHECK_EQ(nth_end(2).reason, DTM_END_GRACEFUL);
    clean();
}

/* The one that serves is killed: process 1 ends with its status, and so does the container. */
static void its_status_is_the_services(void)
{
    start_as_init();
    pid_t init = init_pid();
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    WAIT(who_serves().version == 2);
    WAIT(in_log("process 1 stays") == 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", init);
    pid_t killer = fork();
    int status = -1, inner = pid_in_file();
    if (killer == 0) {
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(ns >= 0);
        CHECK_EQ(setns(ns, CLONE_NEWPID), 0);
        pid_t inside = fork();
        if (inside == 0)
            _exit(kill(inner, SIGKILL) != 0);
        waitpid(inside, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    CHECK_EQ(waitpid(killer, &status, 0), killer);
    CHECK_EQ(status, 0);
    WAIT(ended(first, &status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1); /* dtm_run() said DTM_EFAILED */
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(nth_end(1).code, DTM_EFAILED);
    unlink(at("socket")), unlink(at("control")), unlink(at("metrics")), unlink(at("pid"));
    clean();
}

static const struct test tests[] = {
    {"process 1 stays", process_1_stays},
    {"its status is the service's", its_status_is_the_services},
};

int main(int argc, char **argv)
{
    pid_t probe = fork();
    int status = 0;
    if (probe == 0)
        _exit(unshare(CLONE_NEWPID | CLONE_NEWNS) != 0);
    waitpid(probe, &status, 0);
    if (status != 0) {
        printf("skipped: may not make a pid namespace\n");
        return 77;
    }
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
