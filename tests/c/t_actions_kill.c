#define _GNU_SOURCE
/*
 * flow: C10
 * Fault G01: the controller is killed at every write of every phase of an action:
 * before it, in its middle (a page is half written), and after it. Whatever the moment, the
 * action is completed: none of its phases is skipped, its transitions and what it did through
 * its transactions happened once, and what it did elsewhere was repeated only with
 * attempt > 1 and the same token.
 *
 * This program's own pwrite() and the like stand in front of libc's: they count the
 * writes that reach the store's files, and kill the controller at the one that is armed.
 */
#include "actions.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum mode { BEFORE, HALF, AFTER };

/* Is this the write that is armed? */
static bool is_last(int fd)
{
    if (!ledger || !GET(ledger->armed) || !is_store(fd))
        return false;
    if (ADD(ledger->writes, 1) != GET(ledger->armed))
        return false;
    SET(ledger->armed, 0);
    ADD(ledger->killed, 1);
    return true;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define IN_FRONT_OF_PWRITE(name, offset_type)                                                  \
    ssize_t name(int fd, const void *data, size_t len, offset_type offset)                     \
    {                                                                                          \
        bool last = is_last(fd);                                                               \
        int mode = last ? GET(ledger->mode) : AFTER;                                           \
        if (last && mode == BEFORE)                                                            \
            die();                                                                             \
        ssize_t done = REAL(name)(fd, data, mode == HALF ? len / 2 : len, offset);             \
        if (last)                                                                              \
            die();                                                                             \
        return done;                                                                           \
    }

#define IN_FRONT_OF(name, parameters, arguments)                                               \
    int name parameters                                                                        \
    {                                                                                          \
        bool last = is_last(fd);                                                               \
        if (last && GET(ledger->mode) != AFTER)                                                \
            die();                                                                             \
        int done = REAL(name) arguments;                                                       \
        if (last)                                                                              \
            die();                                                                             \
        return done;                                                                           \
    }

IN_FRONT_OF_PWRITE(pwrite, off_t)
IN_FRONT_OF_PWRITE(pwrite64, off64_t)
IN_FRONT_OF(fsync, (int fd), (fd))
IN_FRONT_OF(fdatasync, (int fd), (fd))
IN_FRONT_OF(ftruncate, (int fd, off_t len), (fd, len))
IN_FRONT_OF(ftruncate64, (int fd, off64_t len), (fd, len))

ssize_t write(int fd, const void *data, size_t len)
{
    bool last = is_last(fd);
    int mode = last ? GET(ledger->mode) : AFTER;
    if (last && mode == BEFORE)
        die();
    ssize_t done = REAL(write)(fd, data, mode == HALF ? len / 2 : len);
    if (last)
        die();
    return done;
}

/* One action after the other, each killed one write later, until one is not killed. */
static void enumerate(enum mode mode)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "careful");
    int nth = 0, killed;
    do {
        SET(ledger->count, 0);
        SET(ledger->killed, 0);
        SET(ledger->writes, 0);
        SET(ledger->mode, mode);
        SET(ledger->armed, ++nth);
        id = surely_begin("action careful");
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        SET(ledger->armed, 0);
        check_promise(id, 4);
        killed = GET(ledger->killed);
    } while (killed);
    /* 9 commits, each with pages and a flush: fewer would mean that they were not seen. */
    CHECK_LE(27, nth);
    printf("# killed at each of %d writes\n", nth - 1);
    finish();
    CHECK_EQ(shared->result.deaths, nth - 1);
    remove_store();
}

static void before(void)
{
    enumerate(BEFORE);
}

static void in_the_middle(void)
{
    enumerate(HALF);
}

static void after(void)
{
    enumerate(AFTER);
}

/* The same while the store is made, by the very first controller. */
static void while_it_is_made(void)
{
    int nth = 0, killed;
    do {
        struct service service = acting_service();
        SET(ledger->mode, nth % 3);
        SET(ledger->armed, ++nth);
        start(&service);
        WAIT(command("store") == DTM_OK || GET(ledger->killed));
        killed = GET(ledger->killed);
        SET(ledger->armed, 0);
        WAIT(controller());
        uint64_t id = surely_begin("action careful");
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        check_promise(id, 4);
        finish();
        remove_store();
    } while (killed && nth < 60);
    printf("# killed at each of %d writes\n", nth - 1);
    CHECK_LE(5, nth);
}

static const struct test tests[] = {
    {"before each write", before},
    {"in the middle of each write", in_the_middle},
    {"after each write", after},
    {"while the store is made", while_it_is_made},
};
TEST_MAIN(tests)
