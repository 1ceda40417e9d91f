/*
 * The table role x signal.
 * flow: S1, M4, M18, M21, W9, C13, L1, L8
 * faults: C05
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void end_by(int sig, uint32_t style, uint32_t reason)
{
    struct service service = a_service();
    service.config.signals = style;
    start(&service);
    kill(shared->host, sig);
    ended_well();
    CHECK_EQ(shared->result.reason, reason);
    CHECK_EQ(shared->result.signal, sig);
}

static void term_and_quit(void)
{
    end_by(SIGTERM, DTM_SIGNALS_DEFAULT, DTM_END_GRACEFUL);
    end_by(SIGQUIT, DTM_SIGNALS_DEFAULT, DTM_END_GRACEFUL);
}

static void interrupt(void)
{
    end_by(SIGINT, DTM_SIGNALS_DEFAULT, DTM_END_FAST);
}

static void reload_by(int sig, uint32_t style)
{
    struct service service = a_service();
    service.config.signals = style;
    start(&service);
    kill(shared->host, sig);
    WAIT(shared->reloads == 1 && count_open(2) == 3 && count_open(1) == 0);
    CHECK_EQ(shared->reload_status, DTM_OK);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.reloads, 1);
}

static void hangup_reloads(void)
{
    reload_by(SIGHUP, DTM_SIGNALS_DEFAULT);
}

/* Who is used to gunicorn: QUIT is fast, WINCH stops the workers, the rest is as ever. */
static void gunicorns_table(void)
{
    end_by(SIGQUIT, DTM_SIGNALS_GUNICORN, DTM_END_FAST);
    end_by(SIGTERM, DTM_SIGNALS_GUNICORN, DTM_END_GRACEFUL);
    reload_by(SIGHUP, DTM_SIGNALS_GUNICORN);
    struct service service = a_service();
    service.config.signals = DTM_SIGNALS_GUNICORN;
    start(&service);
    kill(shared->host, SIGWINCH);
    WAIT(count_role(DTM_ROLE_WORKER) == 0);
    CHECK_EQ(shared->reloads, 0);
    CHECK_EQ(command("start"), DTM_OK);
    WAIT(count_open(0) == 3);
    finish();
}

/* L1: the old service's numbers go on working, beside today's and alone. */
static void winch_reloads(void)
{
    reload_by(SIGWINCH, DTM_SIGNALS_DEFAULT);
    reload_by(SIGWINCH, DTM_SIGNALS_DTM);
}

static void loadconf_by(uint32_t style)
{
    struct service service = a_service();
    service.config.signals = style;
    start(&service);
    int loads = shared->config_loads;
    kill(shared->host, SIGALRM);
    WAIT(shared->config_loads == loads + 1);
    CHECK_EQ(shared->reloads, 0);
    finish();
}

static void alarm_loads_the_config(void)
{
    loadconf_by(DTM_SIGNALS_DEFAULT);
    loadconf_by(DTM_SIGNALS_DTM);
}

/* A signal that means nothing to a role is ignored and logged, never half done. */
static void children_ignore_the_masters_signals(void)
{
    static const int signals[] = {SIGINT, SIGHUP, SIGUSR2, SIGWINCH, SIGALRM, SIGTTIN, SIGTTOU};
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *worker = kid_at(fd), *boss = controller();
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        kill(worker->pid, signals[i]);
        kill(boss->pid, signals[i]);
        who(fd);
        CHECK_EQ(command("pid"), boss->pid);
    }
    WAIT(logged("SIGHUP") || logged("HUP"));
    CHECK_EQ(shared->reloads, 0);
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(worker->events & (1u << DTM_EVENT_DRAINING | 1u << DTM_EVENT_EXIT), 0);
    hang_up(fd);
    finish();
}

/* TERM to a child: it drains and leaves; the master replaces it. */
static void term_to_a_child(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *worker = nth_open(0), *boss = controller();
    end_kid(worker, SIGTERM);
    end_kid(boss, SIGTERM);
    CHECK_EQ(worker->status, 0);
    CHECK_EQ(boss->status, 0);
    CHECK_EQ(worker->exits, 1);
    CHECK_EQ(shared->controller_exits, 1);
    WAIT(count_open(1) == 3 && controller());
    CHECK(serves());
    finish();
}

/* What a terminal or a process manager does: the whole group gets it. */
static void signals_to_the_group(void)
{
    struct service service = a_service();
    start(&service);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the driver is in the group */
    signal(SIGHUP, SIG_IGN);
    kill(0, SIGHUP);
    WAIT(shared->reloads == 1 && count_open(2) == 3);
    kill(0, SIGTERM);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(shared->result.killed, 0);
}

/* SIGTTIN and SIGTTOU: one worker more, one less. */
static void scales(void)
{
    struct service service = a_service();
    start(&service);
    kill(shared->host, SIGTTIN);
    WAIT(count_open(1) == 4);
    kill(shared->host, SIGTTOU);
    WAIT(count_open(1) == 3 && count_role(DTM_ROLE_WORKER) == 3);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static int32_t logging_func(dtm_t *rt, void *data)
{
    (void)data;
    while (dtm_loop_dispatch(rt, 20) == 0)
        dtm_log(rt, DTM_LOG_INFO, "a func at work");
    return 0;
}

static void with_func(dtm_t *rt)
{
    dtm_func_t func = DTM_FUNC_INIT;
    func.name = "logger";
    func.main = logging_func;
    CHECK_EQ(dtm_func_register(rt, &func), 0);
}

static const char *log_of(const char *role, const char *suffix)
{
    static char path[2][170];
    char *to = path[suffix[0] != 0];
    snprintf(to, sizeof path[0], "%s/%s.log%s", scratch(), role, suffix);
    return to;
}

static bool says(const char *path, const char *text)
{
    char all[65536];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(all, 1, sizeof all - 1, f) : 0;
    if (f)
        fclose(f);
    all[n] = 0;
    return strstr(all, text) != NULL;
}

/* By SIGUSR1 and by command: every process, of each role, writes into a new file. */
static void reopens_logs(void)
{
    static const char *roles[] = {"master", "worker", "controller", "func"};
    struct stat before, now;
    char target[160];
    struct service service = a_service();
    snprintf(target, sizeof target, "file:%s/%%r.log", scratch());
    service.config.log_target = target;
    service.setup = with_func;
    start(&service);
    int fd = dial(shared->port[0]);
    for (int round = 0; round < 2; round++) {
        WAIT(says(log_of("func", ""), "a func at work"));
        for (int i = 0; i < 4; i++)
            CHECK_EQ(rename(log_of(roles[i], ""), log_of(roles[i], ".old")), 0);
        if (round)
            CHECK_EQ(command("reopen"), DTM_OK);
        else
            kill(shared->host, SIGUSR1);
        for (int i = 0; i < 4; i++)
            WAIT(stat(log_of(roles[i], ""), &now) == 0);
        WAIT(ask(fd, "log from the worker") && says(log_of("worker", ""), "from the worker"));
        WAIT(says(log_of("func", ""), "a func at work"));
        CHECK_EQ(command("loadconf"), DTM_OK);
        WAIT(says(log_of("master", ""), "configuration loaded"));
        kill(controller()->pid, SIGHUP); /* it says that it ignores it */
        WAIT(says(log_of("controller", ""), "SIGHUP"));
        for (int i = 0; i < 4; i++) { /* nobody has the old one any more */
            CHECK_EQ(stat(log_of(roles[i], ".old"), &before), 0);
            ask(fd, "log once more");
            CHECK_EQ(stat(log_of(roles[i], ".old"), &now), 0);
            CHECK_EQ(now.st_size, before.st_size);
        }
    }
    hang_up(fd);
    finish();
    for (int i = 0; i < 4; i++)
        unlink(log_of(roles[i], "")), unlink(log_of(roles[i], ".old"));
}

static const struct test tests[] = {
    {"TERM and QUIT end gracefully", term_and_quit},
    {"INT ends fast", interrupt},
    {"HUP reloads", hangup_reloads},
    {"WINCH reloads without a terminal", winch_reloads},
    {"gunicorn's table", gunicorns_table},
    {"ALRM loads the configuration", alarm_loads_the_config},
    {"children ignore what is the master's", children_ignore_the_masters_signals},
    {"TERM makes a child leave", term_to_a_child},
    {"the whole process group is signalled", signals_to_the_group},
    {"TTIN and TTOU scale", scales},
    {"USR1 and a command reopen the logs", reopens_logs},
};
TEST_MAIN(tests)
