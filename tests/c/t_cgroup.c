#define _GNU_SOURCE
/*
 * The service in cgroups of its own: no more processes, less CPU, frozen, out of memory.
 * faults: A13, A19 (and B01 by cgroup)
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where this controller's groups are made, by the old way (one tree for each) or the new
 * one; NULL: not here. */
static const char *tree_of(const char *controller)
{
    static char path[64];
    char file[128], text[256] = "";
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", controller);
    if (access(path, W_OK) == 0)
        return path;
    snprintf(path, sizeof path, "/sys/fs/cgroup");
    snprintf(file, sizeof file, "%s/cgroup.subtree_control", path);
    FILE *f = fopen(file, "re");
    if (!f || !fgets(text, sizeof text, f))
        text[0] = 0;
    if (f)
        fclose(f);
    bool core = !strcmp(controller, "freezer"); /* part of every new group */
    return access(path, W_OK) == 0 && f && (core || strstr(text, controller)) ? path : NULL;
}

/* Of this case. */
static struct {
    char path[160];
    bool old;
} the_group;

static bool put(const char *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool put(const char *file, const char *format, ...)
{
    char path[256], text[64];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(path, sizeof path, "%s/%s", the_group.path, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (fd >= 0)
        close(fd);
    return done;
}

static long get(const char *file)
{
    char path[256];
    long value = -1;
    snprintf(path, sizeof path, "%s/%s", the_group.path, file);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%ld", &value) != 1)
            value = -1;
        fclose(f);
    }
    return value;
}

/* False: no such group to be had. */
static bool new_group(const char *controller)
{
    const char *tree = tree_of(controller);
    the_group.old = tree && strstr(tree, controller);
    snprintf(the_group.path, sizeof the_group.path, "%s/dtm-test-%d", tree ? tree : "",
             (int)getpid());
    rmdir(the_group.path);
    if (tree && mkdir(the_group.path, 0755) == 0)
        return true;
    fprintf(stderr, "# left out: no cgroups with %s here\n", controller);
    return false;
}

static void end_group(void)
{
    WAIT(rmdir(the_group.path) == 0); /* the kernel is not at once done with the dead */
}

static void join_group(void)
{
    CHECK(put("cgroup.procs", "%d", (int)getpid()));
}

/* A service that is born in a new group of this controller. False: none to be had. */
static bool in_group(const char *controller, struct service *ret_service)
{
    *ret_service = a_service();
    ret_service->before = join_group;
    return new_group(controller);
}

/* B01 by another way: the group may have no more processes. */
static void no_more_processes(void)
{
    struct service service;
    if (!in_group("pids", &service))
        return;
    start(&service);
    for (int round = 0; round < 2; round++) {
        uint64_t spawns = shared->last_spawn;
        CHECK(put("pids.max", "%ld", get("pids.current") - 1));
        end_kid(nth_open(0), SIGKILL);
        WAIT(logged("EAGAIN") >= 3 * (uint32_t)(round + 1));
        CHECK_EQ(shared->last_spawn, spawns);
        CHECK_EQ(count_open(1), 2);
        CHECK(serves());
        CHECK(put("pids.max", "max"));
        WAIT(count_open(1) == 3); /* with no other event */
    }
    finish();
    CHECK_EQ(shared->result.deaths, 2);
    end_group();
}

static void freeze(bool frozen)
{
    if (the_group.old)
        CHECK(put("freezer.state", frozen ? "FROZEN" : "THAWED"));
    else
        CHECK(put("cgroup.freeze", "%d", frozen));
}

/* A13: the whole tree stands still for longer than any of its times, then goes on: nobody
 * is killed, and what was under way ends well. Of a suspended machine this is the stricter
 * case: the clock by which libdtm measures stands still there, and goes on here. */
static void frozen(void)
{
    struct service service;
    if (!in_group("freezer", &service))
        return;
    service.config.start_timeout_ms = 1000;
    service.config.hang_timeout_ms = 1000;
    service.config.kill_grace_ms = 100;
    start(&service);
    uint64_t spawns = shared->last_spawn;
    int fd = dial(shared->port[0]);
    who(fd);
    for (int round = 0; round < 2; round++) {
        freeze(true);
        int waiting = dial(shared->port[0]);
        say(waiting, "who");
        say(fd, "who");
        observe(2500);
        freeze(false);
        CHECK(hear(waiting) && hear(fd));
        hang_up(waiting);
        CHECK_EQ(command("reopen"), DTM_OK);
        observe(300);
        CHECK_EQ(shared->last_spawn, spawns);
        CHECK_EQ(count_open(1), 3);
    }
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
    CHECK_EQ(shared->result.killed, 0);
    end_group();
}

/* The same in the middle of a reload. */
static void frozen_in_a_reload(void)
{
    struct service service;
    if (!in_group("freezer", &service))
        return;
    service.config.start_timeout_ms = 5000;
    start(&service);
    for (int round = 0; round < 2; round++) {
        SET(shared->update_agains, 1 << 30); /* no worker gets ready before we say so */
        int fd = ask_command("reload");
        WAIT(count_role(DTM_ROLE_WORKER) > 3);
        freeze(true);
        SET(shared->update_agains, 0);
        observe(5500);
        freeze(false);
        CHECK_EQ(command_answer(fd), DTM_OK);
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
    }
    finish();
    CHECK_EQ(shared->result.reloads, 2);
    CHECK_EQ(shared->result.killed, 0);
    end_group();
}

/* By default there are as many workers as CPUs that can be used: the affinity mask's, or the
 * group's quota, whatever is less; one and a half keep two busy. */
static void as_many_as_cpus(void)
{
    static const int percent[] = {50, 150, 0};
    cpu_set_t all;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    uint32_t cpus = (uint32_t)CPU_COUNT(&all);
    for (int i = 0; i < 3; i++) {
        struct service service;
        if (!in_group("cpu", &service))
            return;
        service.config.workers = 0;
        if (percent[i] && the_group.old)
            CHECK(put("cpu.cfs_quota_us", "%d",
                      (int)(percent[i] * get("cpu.cfs_period_us") / 100)));
        else if (percent[i])
            CHECK(put("cpu.max", "%d 100000", percent[i] * 1000));
        uint32_t quota = percent[i] == 0 ? cpus : (uint32_t)(percent[i] + 99) / 100;
        launch(&service);
        service.config.workers = quota < cpus ? quota : cpus;
        WAIT(count_open(1) == service.config.workers);
        CHECK_EQ(count_role(DTM_ROLE_WORKER), service.config.workers);
        finish();
        end_group();
    }
}

/* --- No memory --- */

static dtm_notify_cb base_pass;
static dtm_event_cb base_event;
enum { GLUTTON }; /* of shared->custom: the pid of who is to eat all memory */

static void eat_if_told(void)
{
    if (GET(shared->custom[GLUTTON]) != getpid())
        return;
    for (;;) {
        volatile char *p =
            mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        for (int i = 0; i < 1 << 20; i += 4096)
            p[i] = 1;
    }
}

static int32_t eat_in_worker(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                             size_t size)
{
    (void)rt, (void)client, (void)line, (void)reply, (void)size;
    eat_if_told();
    return NOT_MINE;
}

static void eat_in_controller(dtm_t *rt, void *user_data)
{
    eat_if_told();
    base_pass(rt, user_data);
}

static void eat_in_master(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    eat_if_told();
    base_event(rt, event, user_data);
}

static struct service gluttons(void)
{
    struct service service = a_service();
    base_pass = service.callbacks.controller_pass;
    base_event = service.callbacks.event;
    service.request = eat_in_worker;
    service.callbacks.controller_pass = eat_in_controller;
    service.callbacks.event = eat_in_master;
    return service;
}

static bool limited(void)
{
    if (!new_group("memory"))
        return false;
    const char *limit = the_group.old ? "memory.limit_in_bytes" : "memory.max";
    CHECK(put(limit, "%d", 16 << 20));
    put("memory.swap.max", "0");
    return true;
}

static void starve(pid_t pid)
{
    CHECK(put("cgroup.procs", "%d", (int)pid));
    SET(shared->custom[GLUTTON], (int)pid);
}

/* A19: the kernel kills who has eaten too much: a death like any other. */
static void out_of_memory(void)
{
    if (!limited())
        return;
    struct service service = gluttons();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *worker = kid_at(fd), *boss = controller();
    starve(worker->pid);
    say(fd, "who");
    CHECK(!hear(fd));
    hang_up(fd);
    WAIT(has(worker, DTM_EVENT_EXIT));
    CHECK_EQ(worker->status, SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK(serves());

    starve(boss->pid);
    fd = ask_command("pid"); /* a pass */
    WAIT(has(boss, DTM_EVENT_EXIT));
    CHECK_EQ(boss->status, SIGKILL);
    hang_up(fd);
    WAIT(controller());
    CHECK_EQ(command("pid"), controller()->pid);
    CHECK_EQ(count_open(1), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 2);
    end_group();
}

static void master_out_of_memory(void)
{
    if (!limited())
        return;
    struct service service = gluttons();
    start(&service);
    starve(shared->host);
    kill(nth_open(0)->pid, SIGKILL); /* an event */
    int status = wait_host();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    WAIT(survivors(NULL, 0) == 0);
    service = a_service();
    start(&service);
    CHECK(serves());
    finish();
    end_group();
}

static const struct test tests[] = {
    {"no more processes", no_more_processes},
    {"as many as CPUs", as_many_as_cpus},
    {"frozen and thawed", frozen},
    {"frozen and thawed in a reload", frozen_in_a_reload},
    {"out of memory", out_of_memory},
    {"the master is out of memory", master_out_of_memory},
};

int main(int argc, char **argv)
{
    if (!tree_of("pids") && !tree_of("freezer") && !tree_of("memory") && !tree_of("cpu"))
        return 77;
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
