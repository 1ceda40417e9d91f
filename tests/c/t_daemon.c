/*
 * What the processes of a daemon look like: titles, limits, directories, CPUs.
 */
#define _GNU_SOURCE /* sched_getaffinity() */
#include "peer.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char **host_arguments;
static char arguments_before[8192];

static void note_arguments(void)
{
    snprintf(arguments_before, sizeof arguments_before, "%s", proc_file(getpid(), "cmdline"));
}

static int32_t run_and_look(dtm_t *rt)
{
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    shared->custom[0] = !strcmp(proc_file(getpid(), "cmdline"), arguments_before);
    return code;
}

/* ps names each process, what it serves, and that it is leaving. */
static void titles(void)
{
    char title[64];
    struct service service = a_service();
    service.before = note_arguments;
    service.run = run_and_look;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *worker = kid_at(fd);
    CHECK_TEXT(proc_file(shared->host, "cmdline"), "test: master");
    snprintf(title, sizeof title, "test: controller %u", controller()->slot);
    CHECK_TEXT(proc_file(controller()->pid, "cmdline"), title);
    snprintf(title, sizeof title, "test: worker %u gen 1", worker->slot);
    CHECK_TEXT(proc_file(worker->pid, "cmdline"), title);
    ask(fd, "busy");
    kill(shared->host, SIGHUP);
    strcat(title, " draining");
    WAIT(!strcmp(proc_file(worker->pid, "cmdline"), title));
    WAIT(count_open(2) == 3 && count_open(1) == 0);
    snprintf(title, sizeof title, "test: worker %u gen 2", nth_open(0)->slot);
    CHECK_TEXT(proc_file(nth_open(0)->pid, "cmdline"), title);
    ask(fd, "idle");
    hang_up(fd);
    finish();
    CHECK_EQ(shared->custom[0], 1); /* the host's own again */

    service = a_service();
    service.config.process_titles = DTM_OFF;
    start(&service);
    CHECK_TEXT(proc_file(nth_open(0)->pid, "cmdline"), host_arguments[0]);
    finish();
}

static rlim_t limit_of(pid_t pid, int resource)
{
    struct rlimit limit;
    CHECK_EQ(prlimit(pid, resource, NULL, &limit), 0);
    return limit.rlim_cur;
}

static int32_t run_and_compare(dtm_t *rt)
{
    char before[256], after[256];
    rlim_t files = limit_of(0, RLIMIT_NOFILE);
    CHECK(getcwd(before, sizeof before));
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    CHECK(getcwd(after, sizeof after));
    CHECK_TEXT(after, before);
    CHECK_EQ(limit_of(0, RLIMIT_NOFILE), files);
    CHECK_EQ(umask(0), 022);
    return code;
}

static void plain_umask(void)
{
    umask(022);
}

/* What holds for everybody, and what for the children only; the host gets its own back. */
static void limits(void)
{
    struct service service = a_service();
    service.before = plain_umask;
    service.run = run_and_compare;
    service.config.working_dir = "/dev";
    service.config.core_dir = scratch();
    service.config.rlimit_nofile = 777;
    service.config.rlimit_core_mib = 3;
    service.config.nice = 7;
    service.config.umask = "027";
    start(&service);
    struct kid *worker = nth_open(0), *boss = controller();
    pid_t pids[] = {worker->pid, boss->pid};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(limit_of(pids[i], RLIMIT_NOFILE), 777);
        CHECK_EQ(limit_of(pids[i], RLIMIT_CORE), 3 << 20);
        CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)pids[i]), 7);
        CHECK_TEXT(proc_value(pids[i], "status", "Umask:"), "0027");
        CHECK_TEXT(proc_link(pids[i], "cwd"), scratch());
    }
    CHECK_EQ(limit_of(shared->host, RLIMIT_NOFILE), 777);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)shared->host), getpriority(PRIO_PROCESS, 0));
    CHECK_TEXT(proc_value(shared->host, "status", "Umask:"), "0022");
    CHECK_TEXT(proc_link(shared->host, "cwd"), "/dev");
    finish();

    service = a_service();
    service.config.rlimit_core_mib = DTM_OFF;
    start(&service);
    CHECK(limit_of(nth_open(0)->pid, RLIMIT_CORE) == RLIM_INFINITY);
    finish();
}

/* auto: worker i on the i-th CPU that the process may use, from the start again. */
static void affinity(void)
{
    cpu_set_t mine, its;
    int cpus[CPU_SETSIZE], count = 0;
    char list[64];
    CHECK_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mine))
            cpus[count++] = cpu;
    struct service service = a_service();
    service.config.cpu_affinity = "auto";
    start(&service);
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *worker = nth_open(i);
        CHECK_EQ(sched_getaffinity(worker->pid, sizeof its, &its), 0);
        CHECK_EQ(CPU_COUNT(&its), 1);
        CHECK(CPU_ISSET(cpus[worker->index % (uint32_t)count], &its));
    }
    CHECK_EQ(sched_getaffinity(controller()->pid, sizeof its, &its), 0);
    CHECK(CPU_EQUAL(&its, &mine));
    finish();

    service = a_service();
    snprintf(list, sizeof list, "%d,%d;%d", cpus[0], cpus[count - 1], cpus[count - 1]);
    service.config.cpu_affinity = list;
    start(&service);
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *worker = nth_open(i);
        CHECK_EQ(sched_getaffinity(worker->pid, sizeof its, &its), 0);
        CHECK(CPU_ISSET(cpus[count - 1], &its));
        CHECK_EQ(CPU_COUNT(&its), worker->index % 2 == 0 && count > 1 ? 2 : 1);
    }
    finish();
}

/* Each is refused by dtm_new(), with name, value and what is allowed. */
static void bad_values(void)
{
    struct {
        void (*unused)(void);
        const char *key, *value, *text;
        size_t member;
    } texts[] = {
#define BAD(key, value, text) {NULL, #key, value, text, offsetof(dtm_config_t, key)}
        BAD(pid_file, "run/x.pid", "an absolute path"),
        BAD(user, "no-such-user", "the name or number of a user"),
        BAD(group, "no-such-group", "the name or number of a group"),
        BAD(chroot, "/nonexistent", "a directory"),
        BAD(working_dir, "/dev/null", "a directory"),
        BAD(core_dir, "/nonexistent", "a directory"),
        BAD(cpu_affinity, "0-", "auto, off, or a list of CPUs"),
        BAD(cpu_affinity, "1023", "the CPUs that this process may use"),
        BAD(capabilities, "cap_fly", "none, or names such as cap_net_bind_service"),
        BAD(umask, "8", "octal, 000..777"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char line[256];
        struct service service = a_service();
        *(const char **)((char *)&service.config + texts[i].member) = texts[i].value;
        launch(&service);
        snprintf(line, sizeof line, "%s = %s: must be ", texts[i].key, texts[i].value);
        refused_with(line);
        CHECK(strstr(shared->error, texts[i].text));
        CHECK_EQ(shared->new_code, DTM_ECONFIG);
    }
    struct service service = a_service();
    service.config.nice = 20;
    launch(&service);
    refused_with("nice = 20: must be -20..19");
    service = a_service();
    service.config.rlimit_nofile = 0xfffffffe;
    launch(&service);
    refused_with("rlimit_nofile = 4294967294: must be at most");
    service = a_service();
    service.config.daemonize = 1;
    service.config.log_target = "stderr";
    launch(&service);
    refused_with("log_target = stderr: must be callback, syslog");
}

/* Who is not root cannot become anybody else, and is told so before anything runs. */
/* Whoever stands at -5 already may have that. */
static void become_ordinary(void)
{
    setpriority(PRIO_PROCESS, 0, 0);
    become_nobody();
}

static void without_privileges(void)
{
    struct service service = a_service();
    service.before = become_nobody;
    service.config.user = "root";
    launch(&service);
    refused_with("user = root: must be this process's own");
    service = a_service();
    service.before = become_nobody;
    service.config.chroot = "/";
    launch(&service);
    refused_with("chroot = /: must be unset, as only root");
    service = a_service();
    service.before = become_ordinary;
    service.config.nice = -5;
    launch(&service);
    refused_with("nice = -5: must be");
    service = a_service();
    service.before = become_nobody;
    service.config.capabilities = "net_raw";
    launch(&service);
    refused_with("it lacks cap_net_raw");
    service = a_service();
    service.before = become_nobody;
    service.config.user = "54321"; /* it is that one already */
    service.config.group = "54321";
    start(&service);
    CHECK(serves());
    finish();
}

static const struct test tests[] = {
    {"titles", titles},
    {"limits and directories", limits},
    {"cpu affinity", affinity},
    {"bad values", bad_values},
    {"without privileges", without_privileges},
};

int main(int argc, char **argv)
{
    host_arguments = argv;
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
