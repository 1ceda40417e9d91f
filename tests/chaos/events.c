#define _GNU_SOURCE
/* One thing after the other that may happen to a service. */
#include "events.h"

#include "inject.h"
#include "ledger.h"
#include "peer.h"
#include "space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* So many more answers, from whoever. */
static void more_answers(uint64_t many)
{
    uint64_t before = LOAD_SUM(answered);
    WAIT(LOAD_SUM(answered) > before + many);
}

static struct kid *some_worker(void)
{
    struct kid *found = NULL;
    uint32_t seen = 0;
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->role == DTM_ROLE_WORKER && !has(kid, DTM_EVENT_EXIT) && draw(++seen) == 0)
            found = kid;
    }
    return found;
}

/* Marked before it is killed, so that every client that it takes along can be explained. */
static void doom(struct kid *kid)
{
    SET(ledger->spawn[ledger->base + kid->spawn].doomed, 1);
    ADD(ledger->dying, 1);
    ADD(ledger->kills, 1);
    /* The master may have reaped it meanwhile, and its number may be another's. */
    if (!has(kid, DTM_EVENT_EXIT))
        kill(kid->pid, SIGKILL);
}

static void wait_for_death(struct kid *kid)
{
    WAIT(has(kid, DTM_EVENT_EXIT));
    ADD(ledger->dying, -1);
}

/* Returns when the master has noticed. It may have left by itself just before. */
static void kill_worker_(struct kid *kid)
{
    if (!kid)
        return;
    doom(kid);
    wait_for_death(kid);
}

static void kill_worker(void)
{
    for (uint32_t many = 1 + draw(3); many > 0; many--)
        kill_worker_(some_worker());
    more_answers(5);
}

/* All of them at once. */
static void kill_all_workers(void)
{
    for (uint64_t spawn = 1, last = GET(shared->last_spawn); spawn <= last; spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->role == DTM_ROLE_WORKER && !has(kid, DTM_EVENT_EXIT))
            kill_worker_(kid);
    }
    more_answers(5);
}

static void worker_leaves(void)
{
    struct kid *kid = nth_open(draw(chaos.workers));
    if (!kid)
        return;
    kill(kid->pid, SIGTERM);
    WAIT(has(kid, DTM_EVENT_EXIT));
}

static void stop_worker(void)
{
    struct kid *kid = nth_open(draw(chaos.workers));
    if (!kid || count_open(0) < 2)
        return;
    kill(kid->pid, SIGSTOP);
    more_answers(20);
    if (draw(2))
        kill_worker_(kid);
    else
        kill(kid->pid, SIGCONT);
}

/* A reload, in the middle of which something else may happen. */
static int reload_with(void (*meanwhile)(void))
{
    int fd = ask_command("reload");
    if (meanwhile)
        meanwhile();
    int status = command_answer(fd);
    if (status != DTM_OK && status != DTM_EFAILED && status != -EBUSY && status != DTM_ENOFORK)
        fail_at(__FILE__, __LINE__, "reload: %d %s", status, detail);
    return status;
}

static void reload(void)
{
    calm();
    uint32_t before = nth_open(0)->generation;
    CHECK_EQ(reload_with(NULL), DTM_OK);
    CHECK(nth_open(0)->generation > before);
    CHECK_EQ(count_open(0), chaos.workers);
}

static void disturbed_reload(void)
{
    reload_with(draw(2) ? kill_worker : worker_leaves);
}

/* None of the old workers notices. */
static void broken_reload(void)
{
    static const enum trouble kinds[] = {FAIL, ABORT, EXIT, HANG};
    uint64_t spawns[64];
    calm();
    uint32_t newest = 0;
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++)
        if (kid_of(spawn)->generation > newest)
            newest = kid_of(spawn)->generation;
    for (uint32_t i = 0; i < chaos.workers; i++)
        spawns[i] = nth_open(i)->spawn;
    SET(shared->init_generation, newest + 1);
    uint32_t kind = draw(5);
    if (kind == 4)
        SET(shared->config_fails, 1);
    else
        SET(shared->init_trouble, (int)kinds[kind]);
    int status = command("reload");
    CHECK(status < 0 && status != -EBUSY);
    SET(shared->init_trouble, NO_TROUBLE);
    CHECK_EQ(GET(shared->config_fails), 0);
    for (uint32_t i = 0; i < chaos.workers; i++)
        CHECK(!has(kid_of(spawns[i]), DTM_EVENT_DRAINING) &&
              !has(kid_of(spawns[i]), DTM_EVENT_EXIT));
}

static void kill_controller(void)
{
    struct kid *boss = controller();
    kill(boss->pid, SIGKILL);
    more_answers(5);
    WAIT(has(boss, DTM_EVENT_EXIT) && controller());
}

/* Nothing is forked between the answer and the end, however many die. */
static void forbid_forking(void)
{
    calm();
    CHECK_EQ(command("nofork 0"), DTM_OK);
    uint64_t spawns = shared->last_spawn;
    for (uint32_t many = draw(chaos.workers); many > 0; many--)
        kill_worker_(nth_open(0));
    more_answers(20);
    CHECK_EQ(shared->last_spawn, spawns);
    if (draw(3) == 0)
        kill_controller(); /* the ban ends with it */
    else
        CHECK_EQ(command("fork"), DTM_OK);
    calm();
}

static void abuse_operators(void)
{
    static const char *junk[] = {"",
                                 "rel",
                                 "reload",
                                 "\n\n\n",
                                 "*-2\r\n",
                                 "$9999999999\r\n",
                                 "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
                                 "what is this\n"};
    char address[160];
    int fds[16];
    snprintf(address, sizeof address, "unix:%s", control_path());
    for (int i = 0; i < 16; i++) {
        const char *text = junk[draw(sizeof junk / sizeof junk[0])];
        fds[i] = dial_address(address);
        send(fds[i], text, strlen(text), MSG_NOSIGNAL);
    }
    for (int i = 0; i < 16; i++)
        hang_up(fds[i]);
    CHECK_EQ(command("pid"), controller()->pid);
}

static void limit_files_of(pid_t pid, rlim_t most)
{
    struct rlimit limit;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return;
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    prlimit(pid, RLIMIT_NOFILE, &limit, NULL);
}

static void few_files(void)
{
    struct kid *kid = nth_open(draw(chaos.workers));
    pid_t pid = draw(3) == 0 || !kid ? shared->host : kid->pid;
    limit_files_of(pid, 3);
    if (pid == shared->host) /* in mode pass, nobody is served meanwhile */
        observe(50 + draw(100));
    else
        more_answers(20);
    limit_files_of(pid, RLIM_INFINITY);
}

static void no_memory_to_fork(void)
{
    if (!can_inject())
        return;
    calm();
    inject(&(struct injection){.call = SYS_clone, .error = ENOMEM, .pid = shared->host});
    kill_worker_(nth_open(0));
    WAIT(injected() >= 2);
    inject(NULL);
    calm();
}

static void stop_master(void)
{
    kill(shared->host, SIGSTOP);
    struct kid *kid = draw(2) ? nth_open(0) : NULL;
    if (kid)
        doom(kid);
    observe(20 + draw(200)); /* it cannot do anything that could be waited for */
    kill(shared->host, SIGCONT);
    if (kid)
        wait_for_death(kid);
    more_answers(5);
}

/* Everybody leaves, and the next one has port and sockets at once. */
static void kill_master(void)
{
    SET(ledger->down, 1);
    uint64_t begun = now_ms(), last = shared->last_spawn;
    kill(shared->host, SIGKILL);
    WAIT(ended(shared->host, NULL));
    for (uint64_t spawn = 1; spawn <= last + 8; spawn++)
        WAIT(kid_of(spawn)->pid == 0 || has(kid_of(spawn), DTM_EVENT_EXIT) ||
             !runs(kid_of(spawn)->pid));
    if (now_ms() - begun > chaos.worst_orphan_ms)
        chaos.worst_orphan_ms = (unsigned)(now_ms() - begun);
    SET(ledger->base, ledger->base + last + 8);
    begin_master();
    ADD(ledger->outages, 1);
    SET(ledger->down, 0);
    note_master();
}

static void freeze_and_thaw(void)
{
    freezer_take(shared->host);
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->pid > 1 && !has(kid, DTM_EVENT_EXIT) && runs(kid->pid))
            freezer_take(kid->pid);
    }
    freeze(true);
    observe(100 + draw(300));
    freeze(false);
    more_answers(5);
}

/* Not while a reload is under way that signals have asked for. */
static void scale_to(uint32_t workers)
{
    int code = 0;
    WAIT((code = command("scale %u", workers)) != -EBUSY);
    CHECK_EQ(code, DTM_OK);
}

/* More or fewer for a while: loading a configuration would end it as well. */
static void scale(void)
{
    uint32_t usual = chaos.workers;
    calm();
    chaos.workers = 2 + draw(6);
    scale_to(chaos.workers);
    calm();
    kill_worker();
    more_answers(20);
    scale_to(usual);
    chaos.workers = usual;
}

static void accept_mode(void)
{
    command("mode %u", draw(7)); /* not every one can be had everywhere */
    command("tokens %u", draw(4));
    more_answers(20);
}

static void load_config(void)
{
    int status = command("loadconf");
    CHECK(status == DTM_OK || status == -EBUSY);
}

/* Bursts, as from somebody who does not look. */
static void signals(void)
{
    static const int kinds[] = {SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGHUP};
    for (uint32_t i = 0; i < 20; i++) {
        kill(shared->host, kinds[draw(5)]);
        usleep(1000 * draw(25));
    }
    CHECK_EQ(command("reopen"), DTM_OK);
}

struct event events[] = {
    {"kill_worker", 34, kill_worker, 0},
    {"kill_all_workers", 3, kill_all_workers, 0},
    {"worker_leaves", 6, worker_leaves, 0},
    {"stop_worker", 10, stop_worker, 0},
    {"reload", 10, reload, 0},
    {"disturbed_reload", 6, disturbed_reload, 0},
    {"broken_reload", 6, broken_reload, 0},
    {"kill_controller", 10, kill_controller, 0},
    {"forbid_forking", 6, forbid_forking, 0},
    {"abuse_operators", 4, abuse_operators, 0},
    {"few_files", 4, few_files, 0},
    {"no_memory_to_fork", 3, no_memory_to_fork, 0},
    {"stop_master", 3, stop_master, 0},
    {"kill_master", 2, kill_master, 0},
    {"freeze_and_thaw", 2, freeze_and_thaw, 0},
    {"scale", 4, scale, 0},
    {"accept_mode", 4, accept_mode, 0},
    {"load_config", 3, load_config, 0},
    {"signals", 3, signals, 0},
};
const size_t event_count = sizeof events / sizeof events[0];
