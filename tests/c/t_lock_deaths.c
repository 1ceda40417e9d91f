/*
 * The service's own locks: none is lost with its owner, and the next one is told.
 * F01, F02, L1 of the fault list.
 */
#include "locks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* Requests: scribble WORD. */
static int32_t on_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                          size_t size)
{
    unsigned long long word;
    if (sscanf(line, "scribble %llx", &word) != 1)
        return lock_request(rt, client, line, reply, size);
    scribble(word);
    return DTM_READ;
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
    service.request = on_request;
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

static const struct test tests[] = {
    {"100 owners killed", owners_killed},
    {"the next owner dies too", the_next_owner_dies_too},
    {"an owner dies while forking is forbidden", while_forking_is_forbidden},
    {"an owner dies while the master is stopped", while_the_master_is_stopped},
    {"the master dies", the_master_dies},
    {"sleepers killed", sleepers_killed},
    {"scribbled over", scribbled_over},
};
TEST_MAIN(tests)
