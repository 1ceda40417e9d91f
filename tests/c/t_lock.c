/*
 * The service's own locks: one owner at a time.
 */
#include "locks.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = LOCKS_CUSTOM, HELD, WRONG };

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

/* Requests: count N, fork, misuse. */
static int32_t on_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                          size_t size)
{
    unsigned number;
    if (sscanf(line, "count %u", &number) == 1)
        count_up((int)number);
    else if (!strcmp(line, "fork"))
        from_a_fork(reply, size);
    else if (!strcmp(line, "misuse"))
        misuse(rt);
    else
        return lock_request(rt, client, line, reply, size);
    return DTM_READ;
}

static struct service with_requests(void)
{
    struct service service = with_locks();
    service.request = on_request;
    return service;
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
    struct service service = with_requests();
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
    register_locks(rt);
    func.name = "counter";
    func.main = hold;
    func.restart = DTM_RESTART_ONCE;
    CHECK_EQ(dtm_func_register(rt, &func), 0);
}

/* Four workers, a func and the controller, all at once. */
static void one_at_a_time(void)
{
    int fds[4];
    struct service service = with_requests();
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

static void forked_by_the_service(void)
{
    struct service service = with_requests();
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
    {"a process that the service forked", forked_by_the_service},
};
TEST_MAIN(tests)
