/*
 * The service's own locks: one owner at a time, and none is lost with its owner.
 * F01, F02, L1 of the fault list.
 */
#include "peer.h"
#include "worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ASKED, COUNT, HELD, WRONG };

static dtm_lock_t *lock, *other;
static dtm_event_cb base_event;

/* Nothing atomic: only the lock keeps two of these apart. */
static void count_up(int times)
{
    volatile int *count = &shared->custom[COUNT];
    for (int i = 0; i < times; i++) {
        CHECK_EQ(dtm_lock_take(lock, DTM_OFF), DTM_OK);
        int value = *count;
        if (i % 16 == 0)
            sched_yield();
        *count = value + 1;
        CHECK_EQ(dtm_lock_give(lock), DTM_OK);
    }
}

/* A process of the service's own: not one of those that may. */
static void from_a_fork(char *reply, size_t size)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(dtm_lock_take(lock, 0) == DTM_EFORKED && dtm_lock_give(lock) == DTM_EFORKED);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    snprintf(reply, size, "%d", WIFEXITED(status) && WEXITSTATUS(status));
}

/* What a process that has gone wrong may do: write over the word of the lock. */
static void scribble(unsigned long long word)
{
    char line[256];
    unsigned long long start = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:dtm-locks"))
            sscanf(line, "%llx", &start);
    fclose(maps);
    CHECK(start);
    __atomic_store_n((uint64_t *)(uintptr_t)start, word, __ATOMIC_SEQ_CST);
}

static void misuse(dtm_t *rt)
{
    dtm_lock_t *none = NULL;
    dtm_lock_t *beyond = (dtm_lock_t *)((char *)other + 1);
    CHECK_EQ(dtm_lock_take(NULL, 0), DTM_EINVAL);
    CHECK_EQ(dtm_lock_take(beyond, 0), DTM_EINVAL);
    CHECK_EQ(dtm_lock_give((dtm_lock_t *)&none), DTM_EINVAL);
    CHECK_EQ(dtm_lock_register(rt, "late", &none), DTM_EROLE);
    CHECK_EQ(dtm_lock_give(lock), -EPERM);
    CHECK_EQ(dtm_lock_take(lock, 0), DTM_OK);
    CHECK_EQ(dtm_lock_take(lock, 0), -EDEADLK);
    CHECK_EQ(dtm_lock_take(lock, DTM_OFF), -EDEADLK);
    CHECK_EQ(dtm_lock_give(other), -EPERM);
    CHECK_EQ(dtm_lock_take(other, 0), DTM_OK);
    CHECK_EQ(dtm_lock_give(lock), DTM_OK);
    CHECK_EQ(dtm_lock_give(lock), -EPERM);
    CHECK_EQ(dtm_lock_give(other), DTM_OK);
}

/* Requests: take MS, give, count N, scribble WORD, fork, misuse. */
static int32_t on_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                          size_t size)
{
    unsigned number;
    unsigned long long word;
    (void)client;
    if (sscanf(line, "take %u", &number) == 1) {
        ADD(shared->custom[ASKED], 1);
        snprintf(reply, size, "%d", dtm_lock_take(lock, number));
    } else if (!strcmp(line, "give")) {
        snprintf(reply, size, "%d", dtm_lock_give(lock));
    } else if (sscanf(line, "count %u", &number) == 1) {
        count_up((int)number);
    } else if (sscanf(line, "scribble %llx", &word) == 1) {
        scribble(word);
    } else if (!strcmp(line, "fork")) {
        from_a_fork(reply, size);
    } else if (!strcmp(line, "misuse")) {
        misuse(rt);
    } else {
        return NOT_MINE;
    }
    return DTM_READ;
}

static void setup(dtm_t *rt)
{
    CHECK_EQ(dtm_lock_register(rt, "table", &lock), DTM_OK);
    CHECK_EQ(dtm_lock_register(rt, "other", &other), DTM_OK);
}

static struct service with_locks(void)
{
    struct service service = a_service();
    service.setup = setup;
    service.request = on_request;
    return service;
}

static int code_of(const char *answer)
{
    CHECK(answer);
    return atoi(answer);
}

/* Let a worker wait for the lock: returns when it sleeps. */
static void let_wait(int fd, const struct kid *kid)
{
    char line[32];
    int asked = GET(shared->custom[ASKED]);
    snprintf(line, sizeof line, "take %u", (unsigned)DTM_OFF);
    say(fd, line);
    WAIT(GET(shared->custom[ASKED]) > asked && state_of(kid->pid) == 'S');
}

/* Two workers: the first has the lock. */
struct pair {
    struct kid *owner, *next;
    int owner_fd, next_fd;
};

static struct pair with_owner(void)
{
    struct pair pair = {.owner = nth_open(0), .next = nth_open(1)};
    pair.owner_fd = dial_worker(pair.owner);
    pair.next_fd = dial_worker(pair.next);
    CHECK_EQ(code_of(ask(pair.owner_fd, "take 0")), DTM_OK);
    return pair;
}

static void hang_up_both(const struct pair *pair)
{
    hang_up(pair->owner_fd);
    hang_up(pair->next_fd);
}

static void register_many(dtm_t *rt)
{
    static const char *const bad[] = {"", "a b", "\xc3\xa4", "a/b",
                                      "a23456789012345678901234567890123"};
    dtm_lock_t *locks[DTM_LOCKS_MAX], *none = NULL;
    char name[33];
    CHECK_EQ(dtm_lock_register(rt, NULL, &none), DTM_EINVAL);
    CHECK_EQ(dtm_lock_register(rt, "a", NULL), DTM_EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(dtm_lock_register(rt, bad[i], &none), DTM_EINVAL);
    CHECK(!none);
    for (unsigned i = 0; i < DTM_LOCKS_MAX; i++) {
        snprintf(name, sizeof name, "A.z_-%027u", i);
        CHECK_EQ(dtm_lock_register(rt, name, &locks[i]), DTM_OK);
        CHECK_EQ(dtm_lock_register(rt, name, &none), DTM_EINVAL);
    }
    CHECK_EQ(dtm_lock_register(rt, "one-more", &none), -ENOSPC);
    lock = locks[0];
    other = locks[DTM_LOCKS_MAX - 1];
    CHECK_EQ(dtm_lock_take(lock, 0), DTM_EROLE); /* the host */
    CHECK_EQ(dtm_lock_give(lock), DTM_EROLE);
}

static void in_the_master(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    if (dtm_lock_take(lock, 0) != DTM_EROLE || dtm_lock_give(lock) != DTM_EROLE)
        ADD(shared->custom[WRONG], 1);
    base_event(rt, event, user_data);
}

static void names_and_roles(void)
{
    struct service service = with_locks();
    service.setup = register_many;
    base_event = service.callbacks.event;
    service.callbacks.event = in_the_master;
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK(!strcmp(ask(fd, "misuse"), "ok"));
    hang_up(fd);
    finish();
    CHECK_EQ(shared->custom[WRONG], 0);
}

static int32_t hold(dtm_t *rt, void *data)
{
    (void)rt, (void)data;
    count_up(2000);
    ADD(shared->custom[HELD], 1);
    return 0;
}

static void setup_func(dtm_t *rt)
{
    dtm_func_t func = DTM_FUNC_INIT;
    setup(rt);
    func.name = "counter";
    func.main = hold;
    func.restart = DTM_RESTART_ONCE;
    CHECK_EQ(dtm_func_register(rt, &func), 0);
}

/* Four workers, a func and the controller, all at once. */
static void one_at_a_time(void)
{
    int fds[4];
    struct service service = with_locks();
    service.config.workers = 4;
    service.setup = setup_func;
    service.callbacks.controller_init = hold;
    start(&service);
    for (uint32_t i = 0; i < 4; i++)
        fds[i] = dial_worker(nth_open(i));
    for (int i = 0; i < 4; i++)
        say(fds[i], "count 5000");
    for (int i = 0; i < 4; i++) {
        CHECK(!strcmp(hear(fds[i]), "ok"));
        hang_up(fds[i]);
    }
    WAIT(GET(shared->custom[HELD]) == 2);
    CHECK_EQ(shared->custom[COUNT], 4 * 5000 + 2 * 2000);
    finish();
}

static void try_and_timed_wait(void)
{
    struct service service = with_locks();
    start(&service);
    struct pair pair = with_owner();
    CHECK_EQ(code_of(ask(pair.next_fd, "take 0")), -ETIMEDOUT);
    uint64_t begun = now_ms();
    CHECK_EQ(code_of(ask(pair.next_fd, "take 30")), -ETIMEDOUT);
    CHECK(now_ms() - begun >= 30);
    CHECK_EQ(code_of(ask(pair.next_fd, "give")), -EPERM);
    CHECK_EQ(code_of(ask(pair.owner_fd, "give")), DTM_OK);
    CHECK_EQ(code_of(ask(pair.next_fd, "take 30")), DTM_OK);
    CHECK_EQ(code_of(ask(pair.owner_fd, "take 0")), -ETIMEDOUT);
    hang_up_both(&pair);
    finish();
}

/* Signals that mean nothing do not end a wait. */
static void signals_meanwhile(void)
{
    struct service service = with_locks();
    start(&service);
    struct pair pair = with_owner();
    let_wait(pair.next_fd, pair.next);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(kill(pair.next->pid, SIGHUP), 0);
        WAIT(state_of(pair.next->pid) == 'S');
    }
    CHECK_EQ(code_of(ask(pair.owner_fd, "give")), DTM_OK);
    CHECK_EQ(code_of(hear(pair.next_fd)), DTM_OK);
    hang_up_both(&pair);
    finish();
}

/* L1: whoever waits gets it, or takes it later, and is told; nobody else restarts. */
static void owners_killed(void)
{
    char line[96];
    struct service service = with_locks();
    start(&service);
    for (int i = 0; i < 100; i++) {
        struct pair pair = with_owner();
        if (i % 2 == 0)
            let_wait(pair.next_fd, pair.next);
        end_kid(pair.owner, SIGKILL);
        const char *answer = i % 2 == 0 ? hear(pair.next_fd) : ask(pair.next_fd, "take 0");
        CHECK_EQ(code_of(answer), DTM_LOCK_RECOVERED);
        CHECK_EQ(code_of(ask(pair.next_fd, "give")), DTM_OK);
        snprintf(line, sizeof line,
                 "lock table: its owner, worker slot %u spawn %llu, died: released",
                 pair.owner->slot, (unsigned long long)pair.owner->spawn);
        CHECK_EQ(logged(line), 1);
        hang_up_both(&pair);
        WAIT(count_open(1) == 3);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 100);
}

/* The one who was told dies as well, with nothing repaired: so the next one is told. */
static void the_next_owner_dies_too(void)
{
    struct service service = with_locks();
    start(&service);
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *kid = nth_open(i % 2);
        int fd = dial_worker(kid);
        CHECK_EQ(code_of(ask(fd, "take 0")), i == 0 ? DTM_OK : DTM_LOCK_RECOVERED);
        end_kid(kid, SIGKILL);
        hang_up(fd);
        WAIT(count_open(1) == 3);
    }
    int fd = dial(shared->port[0]);
    CHECK_EQ(code_of(ask(fd, "take 0")), DTM_LOCK_RECOVERED);
    CHECK_EQ(code_of(ask(fd, "give")), DTM_OK);
    CHECK_EQ(code_of(ask(fd, "take 0")), DTM_OK);
    hang_up(fd);
    finish();
}

/* The zombie must stay; what it held must not. */
static void while_forking_is_forbidden(void)
{
    struct service service = with_locks();
    start(&service);
    struct pair pair = with_owner();
    CHECK_EQ(command("nofork 0"), DTM_OK);
    let_wait(pair.next_fd, pair.next);
    CHECK_EQ(kill(pair.owner->pid, SIGKILL), 0);
    CHECK_EQ(code_of(hear(pair.next_fd)), DTM_LOCK_RECOVERED);
    CHECK_EQ(state_of(pair.owner->pid), 'Z');
    CHECK_EQ(command("fork"), DTM_OK);
    WAIT(count_open(1) == 3);
    CHECK_EQ(code_of(ask(pair.next_fd, "give")), DTM_OK);
    hang_up_both(&pair);
    finish();
}

/* Those who wait find out by themselves; the master finds nothing left to do. */
static void while_the_master_is_stopped(void)
{
    struct service service = with_locks();
    start(&service);
    struct pair pair = with_owner();
    let_wait(pair.next_fd, pair.next);
    kill(shared->host, SIGSTOP);
    WAIT(state_of(shared->host) == 'T');
    CHECK_EQ(kill(pair.owner->pid, SIGKILL), 0);
    CHECK_EQ(code_of(hear(pair.next_fd)), DTM_LOCK_RECOVERED);
    CHECK_EQ(state_of(pair.owner->pid), 'Z');
    kill(shared->host, SIGCONT);
    WAIT(has(pair.owner, DTM_EVENT_EXIT) && count_open(1) == 3);
    CHECK_EQ(logged("is gone: taken over"), 1);
    CHECK_EQ(logged("died: released"), 0);
    CHECK_EQ(code_of(ask(pair.next_fd, "give")), DTM_OK);
    CHECK_EQ(code_of(ask(pair.next_fd, "take 0")), DTM_OK);
    hang_up_both(&pair);
    finish();
}

/* Nobody is left who would release it: a worker that drains does not wait for that. */
static void the_master_dies(void)
{
    struct service service = with_locks();
    service.config.orphan = DTM_ORPHAN_DRAIN;
    start(&service);
    struct pair pair = with_owner();
    let_wait(pair.next_fd, pair.next);
    kill(shared->host, SIGKILL);
    WAIT(ended(shared->host, NULL));
    CHECK_EQ(code_of(hear(pair.next_fd)), DTM_EGONE);
    hang_up_both(&pair);
    WAIT(survivors(NULL, 0) == 0);
    unlink(control_path());
}

/* A wake-up that goes to one who dies of it reaches the other. */
static void sleepers_killed(void)
{
    struct service service = with_locks();
    start(&service);
    for (int i = 0; i < 40; i++) {
        struct pair pair = with_owner();
        struct kid *third = nth_open(2);
        int fd = dial_worker(third);
        let_wait(pair.next_fd, pair.next);
        let_wait(fd, third);
        say(pair.owner_fd, "give");
        if (i % 2 == 0)
            CHECK_EQ(code_of(hear(pair.owner_fd)), DTM_OK);
        end_kid(pair.next, SIGKILL);
        int code = code_of(hear(fd));
        CHECK(code == DTM_OK || code == DTM_LOCK_RECOVERED);
        CHECK_EQ(code_of(ask(fd, "give")), DTM_OK);
        hang_up(fd);
        hang_up_both(&pair);
        WAIT(count_open(1) == 3);
    }
    finish();
}

/* A word that names nobody: whoever comes next finds out, or the master at a death. */
static void scribbled_over(void)
{
    static const char *const words[] = {"ffffffffffffffff", "8000000000000000", "7fff00000001"};
    struct service service = with_locks();
    start(&service);
    for (size_t i = 0; i < 3; i++) {
        char line[64];
        struct pair pair = {.owner = nth_open(0), .next = nth_open(1)};
        pair.owner_fd = dial_worker(pair.owner);
        pair.next_fd = dial_worker(pair.next);
        snprintf(line, sizeof line, "scribble %s", words[i]);
        CHECK(!strcmp(ask(pair.owner_fd, line), "ok"));
        CHECK_EQ(code_of(ask(pair.next_fd, "take 0")), DTM_LOCK_RECOVERED);
        CHECK_EQ(logged("is gone: taken over"), i + 1);
        CHECK_EQ(code_of(ask(pair.owner_fd, "take 0")), -ETIMEDOUT);
        CHECK_EQ(code_of(ask(pair.next_fd, "give")), DTM_OK);
        CHECK(!strcmp(ask(pair.owner_fd, line), "ok"));
        end_kid(pair.owner, SIGKILL);
        CHECK_EQ(logged("is nobody: released"), i + 1);
        CHECK_EQ(code_of(ask(pair.next_fd, "take 0")), DTM_LOCK_RECOVERED);
        CHECK_EQ(code_of(ask(pair.next_fd, "give")), DTM_OK);
        hang_up_both(&pair);
        WAIT(count_open(1) == 3);
    }
    finish();
}

static void forked_by_the_service(void)
{
    struct service service = with_locks();
    start(&service);
    struct pair pair = with_owner();
    CHECK_EQ(code_of(ask(pair.owner_fd, "fork")), 1);
    CHECK_EQ(code_of(ask(pair.next_fd, "fork")), 1);
    CHECK_EQ(code_of(ask(pair.next_fd, "take 0")), -ETIMEDOUT);
    CHECK_EQ(code_of(ask(pair.owner_fd, "give")), DTM_OK);
    hang_up_both(&pair);
    finish();
}

static const struct test tests[] = {
    {"names, roles, misuse", names_and_roles},
    {"one at a time", one_at_a_time},
    {"try and timed wait", try_and_timed_wait},
    {"signals during a wait", signals_meanwhile},
    {"100 owners killed", owners_killed},
    {"the next owner dies too", the_next_owner_dies_too},
    {"an owner dies while forking is forbidden", while_forking_is_forbidden},
    {"an owner dies while the master is stopped", while_the_master_is_stopped},
    {"the master dies", the_master_dies},
    {"sleepers killed", sleepers_killed},
    {"scribbled over", scribbled_over},
    {"a process that the service forked", forked_by_the_service},
};
TEST_MAIN(tests)
