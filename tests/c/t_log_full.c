#define _GNU_SOURCE
/*
 * A log that takes nothing: a full disk, a full pipe, a reader that is gone. Nobody waits,
 * lines are dropped and counted, and what is written later is whole.
 * faults: B11
 * flow: L9
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Life goes on, with much to write. */
static void busy_life(void)
{
    for (int i = 0; i < 3; i++) {
        end_kid(nth_open((uint32_t)i), SIGKILL);
        WAIT(count_open(0) == 3);
    }
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    CHECK(serves());
}

/* What a worker of the service's own writes. */
static void write_lines(int many)
{
    int fd = dial(shared->port[0]);
    for (int i = 0; i < many; i++)
        ask(fd, "log a line of the service's own, which takes some room in the file");
    hang_up(fd);
}

struct seen {
    int torn;
    long dropped;
};

/* Read the whole file. A line that another one was written into is lost without having
 * been counted; one that was cut off itself was counted. */
static struct seen look_at(const char *path)
{
    struct seen seen = {0};
    char line[4096];
    FILE *f = fopen(path, "re");
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        long dropped = 0;
        const char *said = strstr(line, " log line"), *first = strstr(line, "test[");
        seen.torn += first && (strstr(first + 1, "test[") || !strchr(line, '\n'));
        while (said && said > line && said[-1] >= '0' && said[-1] <= '9')
            dropped = atol(--said);
        seen.dropped += dropped;
    }
    fclose(f);
    return seen;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* A disk, 64 KiB large, that only this case and its children see. */
static void full_disk(void)
{
    char disk[128], target[200], path[200], ballast[200], block[4096] = {0};
    struct service service = a_service();
    snprintf(disk, sizeof disk, "%s/disk", scratch());
    snprintf(target, sizeof target, "file:%s/log", disk);
    snprintf(path, sizeof path, "%s/log", disk);
    snprintf(ballast, sizeof ballast, "%s/ballast", disk);
    CHECK_EQ(mkdir(disk, 0777), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", disk, "tmpfs", 0, "size=64k") != 0) {
        fprintf(stderr, "# left out: %s\n", strerror(errno));
        rmdir(disk);
        return;
    }
    service.config.log_target = target;
    service.config.respawn_budget = DTM_OFF;
    start(&service);

    int fd = open(ballast, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof block) > 0) /* all but the log's last page */
        ;
    close(fd);
    for (off_t before = -1; before != size_of(path);) {
        before = size_of(path);
        write_lines(20);
    }
    off_t full = size_of(path);
    busy_life();
    write_lines(50);
    CHECK_EQ(size_of(path), full);

    unlink(ballast);
    write_lines(1);
    end_kid(nth_open(0), SIGKILL); /* the master writes, too */
    WAIT(count_open(0) == 3);
    CHECK(size_of(path) > full);
    finish();
    struct seen seen = look_at(path);
    CHECK_EQ(seen.torn, 0);
    CHECK(seen.dropped > 50);
    unlink(path);
    CHECK_EQ(umount(disk), 0);
    rmdir(disk);
}

static void stderr_without_reader(void)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(dup2(ends[1], 2), 2);
    close(ends[0]), close(ends[1]);
    signal(SIGPIPE, SIG_DFL);
}

/* The reader has gone: EPIPE, and no process dies of SIGPIPE. */
static void reader_gone(void)
{
    struct service service = a_service();
    service.config.log_target = "stderr";
    service.before = stderr_without_reader;
    start(&service);
    busy_life();
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

static const struct test tests[] = {
    {"a full disk", full_disk},
    {"stderr whose reader has gone", reader_gone},
};
TEST_MAIN(tests)
