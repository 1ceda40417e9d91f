/*
 * Children that give up what they do not need: user, groups, root directory,
 * capabilities. Needs root; without, nothing is to be seen (see t_daemon.c).
 * faults: A17
 */
#define _GNU_SOURCE
#include "peer.h"
#include "proc.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Nobody here has these numbers. */
#define USER  "54321"
#define GROUP "54322"

static bool need_root(void)
{
    if (geteuid() != 0)
        fprintf(stderr, "# skipped: needs root\n");
    return geteuid() == 0;
}

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    int number = 0;
    (void)rt, (void)client;
    if (!strcmp(line, "deathsig"))
        CHECK_EQ(prctl(PR_GET_PDEATHSIG, &number), 0);
    else if (!strcmp(line, "dumpable"))
        number = prctl(PR_GET_DUMPABLE);
    else if (!strcmp(line, "root"))
        number = access("/control", F_OK) == 0;
    else
        return NOT_MINE;
    snprintf(reply, size, "%d", number);
    return DTM_READ;
}

static struct service as_nobody(void)
{
    struct service service = a_service();
    service.config.user = USER;
    service.config.group = GROUP;
    service.request = request;
    return service;
}

static void check_nobody(pid_t pid)
{
    CHECK_TEXT(proc_value(pid, "status", "Uid:"), "54321\t54321\t54321\t54321");
    CHECK_TEXT(proc_value(pid, "status", "Gid:"), "54322\t54322\t54322\t54322");
    CHECK_TEXT(proc_value(pid, "status", "Groups:"), "54322");
    CHECK_TEXT(proc_value(pid, "status", "CapPrm:"), "0000000000000000");
    CHECK_TEXT(proc_value(pid, "status", "CapEff:"), "0000000000000000");
}

/* A17: a change of the user clears the death signal: it is armed after that. */
static void user_and_group(void)
{
    struct stat st;
    struct service service = as_nobody();
    if (!need_root())
        return;
    start(&service);
    check_nobody(nth_open(0)->pid);
    check_nobody(controller()->pid);
    CHECK_EQ(stat(control_path(), &st), 0); /* 0600: so that user can reach it */
    CHECK(st.st_uid == 54321 && st.st_gid == 54322 && (st.st_mode & 0777) == 0600);
    CHECK_TEXT(proc_value(shared->host, "status", "Uid:"), "0\t0\t0\t0");
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "deathsig")), SIGKILL);
    CHECK_EQ(atoi(ask(fd, "dumpable")), 1);
    hang_up(fd);
    end_kid(nth_open(1), SIGKILL); /* the master can still do all it has to */
    WAIT(count_open(1) == 3);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_open(2) == 3 && count_open(1) == 0);
    check_nobody(nth_open(0)->pid);
    finish();
}

/* The master dies: its children are another user's, and leave all the same. */
static void master_killed(void)
{
    struct service service = as_nobody();
    if (!need_root())
        return;
    start(&service);
    kill(shared->host, SIGKILL);
    wait_host();
    WAIT(survivors(NULL, 0) == 0);
    unlink(control_path());
}

/* Names have groups of their own. */
static void by_name(void)
{
    struct service service = a_service();
    if (!need_root())
        return;
    service.config.user = "nobody";
    start(&service);
    CHECK_TEXT(proc_value(nth_open(0)->pid, "status", "Uid:"), "65534\t65534\t65534\t65534");
    finish();
    service = a_service();
    service.config.group = "daemon"; /* the group alone */
    start(&service);
    CHECK_TEXT(proc_value(nth_open(0)->pid, "status", "Uid:"), "0\t0\t0\t0");
    CHECK_TEXT(proc_value(nth_open(0)->pid, "status", "Gid:"), "1\t1\t1\t1");
    finish();
}

static void capabilities(void)
{
    struct service service = as_nobody();
    if (!need_root())
        return;
    service.config.capabilities = "cap_net_bind_service, net_raw";
    start(&service);
    struct kid *worker = nth_open(0);
    CHECK_TEXT(proc_value(worker->pid, "status", "Uid:"), "54321\t54321\t54321\t54321");
    CHECK_TEXT(proc_value(worker->pid, "status", "CapPrm:"), "0000000000002400");
    CHECK_TEXT(proc_value(worker->pid, "status", "CapEff:"), "0000000000002400");
    CHECK_TEXT(proc_value(worker->pid, "status", "CapInh:"), "0000000000000000");
    CHECK_TEXT(proc_value(worker->pid, "status", "CapBnd:"), "0000000000002400");
    finish();
    service = a_service(); /* still root, but without its powers */
    service.config.capabilities = "none";
    start(&service);
    worker = nth_open(0);
    CHECK_TEXT(proc_value(worker->pid, "status", "Uid:"), "0\t0\t0\t0");
    CHECK_TEXT(proc_value(worker->pid, "status", "CapEff:"), "0000000000000000");
    finish();
}

/* All logs are there, though their writers could neither open nor see them. */
static void logs_in_a_chroot(void)
{
    static const char *roles[] = {"master", "worker", "controller"};
    char target[160], path[160], old[170];
    struct stat st;
    struct service service = as_nobody();
    if (!need_root())
        return;
    CHECK_EQ(chmod(scratch(), 0711), 0);
    snprintf(target, sizeof target, "file:%s/%%r.log", scratch());
    service.config.log_target = target;
    service.config.chroot = scratch();
    start(&service);
    struct kid *worker = nth_open(0);
    CHECK_TEXT(proc_link(worker->pid, "root"), scratch());
    CHECK_TEXT(proc_link(shared->host, "root"), "/");
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "root")), 1);
    ask(fd, "log before");
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s.log", scratch(), roles[i]);
        snprintf(old, sizeof old, "%s.old", path);
        CHECK_EQ(rename(path, old), 0);
    }
    kill(shared->host, SIGUSR1);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s.log", scratch(), roles[i]);
        WAIT(stat(path, &st) == 0);
    }
    snprintf(path, sizeof path, "%s/worker.log", scratch());
    WAIT(ask(fd, "log after") && strstr(slurp(path), "after"));
    CHECK(!strstr(slurp(path), "before"));
    CHECK_EQ(command("loadconf"), DTM_OK); /* the controller's log stays */
    CHECK_EQ(command("reload"), DTM_OK);
    hang_up(fd);
    finish();
    snprintf(path, sizeof path, "%s/controller.log", scratch());
    CHECK(!strstr(slurp(path), "log_target"));
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s.log", scratch(), roles[i]);
        snprintf(old, sizeof old, "%s.old", path);
        unlink(old), unlink(path);
    }
}

/* The controller gets the configuration that it could not read, from who has read it. */
static void config_of_root(void)
{
    char folder[] = "/tmp/dtm-config-XXXXXX", path[64];
    struct service service = as_nobody();
    if (!need_root())
        return;
    CHECK(mkdtemp(folder)); /* 0700, and not below the new root */
    snprintf(path, sizeof path, "%s/conf", folder);
    FILE *f = fopen(path, "we");
    CHECK(f && fputs("[dtm]\nworkers = 2\n", f) >= 0 && fclose(f) == 0);
    CHECK_EQ(chmod(path, 0600), 0);
    service.config.config_file = path;
    service.config.workers = 2;
    service.config.chroot = scratch();
    start(&service);
    f = fopen(path, "we");
    CHECK(f && fputs("[dtm]\nworkers = 4\n", f) >= 0 && fclose(f) == 0);
    CHECK_EQ(command("loadconf"), DTM_OK);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_open(2) == 4);
    CHECK_EQ(controller()->spawn, 1); /* it has not restarted */
    CHECK_EQ(shared->controller_loads, 2);
    CHECK_EQ(logged("fails here"), 0);
    finish();
    unlink(path);
    rmdir(folder);
}

/* Every accept mode, by processes that may ask the kernel for nothing special. */
static void every_mode(void)
{
    char address[128];
    if (!need_root())
        return;
    for (uint32_t mode = DTM_ACCEPT_TOKEN; mode <= DTM_ACCEPT_LOCK; mode++) {
        struct service service = as_nobody();
        snprintf(address, sizeof address, "unix:%s/service", scratch());
        service.listen[1] = address;
        service.config.accept_mode = mode;
        start(&service);
        int fds[6];
        for (int i = 0; i < 6; i++) {
            fds[i] = i % 2 ? dial_address(address) : dial(shared->port[0]);
            who(fds[i]);
        }
        for (int i = 0; i < 6; i++)
            hang_up(fds[i]);
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK(serves());
        finish();
    }
}

static const struct test tests[] = {
    {"user and group", user_and_group},
    {"the master is killed", master_killed},
    {"users by name", by_name},
    {"capabilities", capabilities},
    {"logs in a chroot", logs_in_a_chroot},
    {"a configuration that only root can read", config_of_root},
    {"every accept mode", every_mode},
};
TEST_MAIN(tests)
