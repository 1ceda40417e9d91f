/*
 * A store that cannot be written for a while: it is locked or full, or a write fails. The
 * service serves on, actions wait, and nothing is lost or doubled.
 * Faults: G03 G04 G05.
 */
#define _GNU_SOURCE
#include "actions.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Is this the one that fails? A flush or a write of the store, by this program's own
 * fdatasync() and pwrite(), in front of libc's. */
enum { FLUSHES, WRITES };

static bool fails(int fd, int what)
{
    if (!ledger || GET(ledger->mode) != what || GET(ledger->armed) <= 0 || !is_store(fd) ||
        ADD(ledger->armed, -1) != 0)
        return false;
    ADD(ledger->killed, 1);
    errno = EIO;
    return true;
}

static int flush(int fd, const char *name)
{
    if (fails(fd, FLUSHES))
        return -1;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (fails(fd, WRITES))
        return -1;
    return ((__typeof__(&pwrite))dlsym(RTLD_NEXT, "pwrite"))(fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    if (fails(fd, WRITES))
        return -1;
    return ((__typeof__(&pwrite64))dlsym(RTLD_NEXT, "pwrite64"))(fd, data, len, offset);
}

int fsync(int fd)
{
    return flush(fd, "fsync");
}

int fdatasync(int fd)
{
    return flush(fd, "fdatasync");
}

/* Hold it until the pipe is closed. */
static FILE *lock_store(void)
{
    char mark[160];
    FILE *other = sqlite("w");
    snprintf(mark, sizeof mark, "%s/locked", scratch());
    fprintf(other, ".timeout 10000\nBEGIN EXCLUSIVE;\n.system touch %s\n", mark);
    fflush(other);
    WAIT(unlink(mark) == 0);
    return other;
}

static bool locked(void)
{
    return logged("DB_BUSY") > 0;
}

/* G03: the phase does not run, the controller answers, and goes on afterwards. */
static void locked_by_another(void)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    FILE *other = lock_store();
    int code;
    /* While it is locked nothing moves, and every command is answered. */
    CHECK_EQ(command("action steps"), -EBUSY);
    CHECK(strstr(detail, "locked"));
    for (int i = 0; i < 20; i++)
        CHECK_EQ(command("pid"), controller()->pid);
    CHECK(serves());
    CHECK_EQ(effects_of(id, 2), 0);
    sql(other, "COMMIT;");
    pclose(other);
    WAIT((code = command("action steps")) > 0);
    WAIT_STATE((uint64_t)code, DTM_INSTANCE_DONE);
    check_promise((uint64_t)code, 3);
    finish_acting();
}

/* The same in the middle of an action: a phase whose turn comes waits. */
static void locked_meanwhile(void)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps wait 300");
    FILE *other = lock_store();
    WAIT(locked());
    CHECK_EQ(effects_of(id, 2), 0);
    CHECK_EQ(command("pid"), controller()->pid);
    sql(other, "COMMIT;");
    pclose(other);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(id, 2)->attempt, 1);
    check_promise(id, 3);
    WAIT(logged("well again"));
    finish_acting();
}

/* G04: a disk that is full, and has room again. */
static void full(void)
{
    if (geteuid() != 0) { /* it mounts */
        printf("# skipped: needs root\n");
        return;
    }
    char path[160], filler[200];
    struct service service = acting_service();
    CHECK_EQ(unshare(CLONE_NEWNS), 0);
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("none", scratch(), "tmpfs", 0, "size=1m"), 0);
    snprintf(path, sizeof path, "%s", scratch());
    snprintf(filler, sizeof filler, "%s/filler", path);
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static char zeros[4096];
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    CHECK_EQ(errno, ENOSPC);
    /* Pages of the log that are there already may still be used. */
    int code;
    WAIT((code = command("action steps")) == -ENOSPC);
    CHECK(strstr(detail, "DB_FULL"));
    CHECK(serves());
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_GO), -ENOSPC);
    CHECK_EQ(effects_of(id, 2), 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    close(fd);
    WAIT(command("verb %d %d", (int)id, DTM_VERB_GO) == DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
    finish();
    unlink(filler);
    remove_store();
    CHECK_EQ(umount(path), 0);
}

/* G05: a flush or a write fails, so nobody knows whether the commit counts: read before
 * going on. */
static void fail_each(int what, int most)
{
    SET(ledger->mode, what);
    for (int nth = 1; nth <= most; nth++) {
        uint64_t id = begin_action("careful");
        SET(ledger->killed, 0);
        SET(ledger->armed, nth);
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        SET(ledger->armed, 0);
        check_promise(id, 4);
    }
    CHECK_EQ(shared->controller_inits, 1);
}

static void outcome_unknown(void)
{
    start_acting();
    fail_each(FLUSHES, 12);
    CHECK_LE(1, logged("DB_UNKNOWN"));
    finish_acting();
}

static void a_write_fails(void)
{
    start_acting();
    fail_each(WRITES, 24);
    CHECK_LE(1, logged("store: DB_"));
    finish_acting();
}

static const struct test tests[] = {
    {"locked by another", locked_by_another},
    {"locked meanwhile", locked_meanwhile},
    {"full", full},
    {"outcome unknown", outcome_unknown},
    {"a write fails", a_write_fails},
};
TEST_MAIN(tests)
