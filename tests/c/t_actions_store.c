/*
 * What can be wrong with a store: it is not there yet, another one than it was, damaged, no
 * store at all, or somebody else's. The service serves on, the console can say what it is,
 * actions wait, and nothing is lost or doubled. flow: C12
 * Faults: G02 G06 G07.
 */
#define _GNU_SOURCE
#include "actions.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_STORE(code, text)                                                                 \
    do {                                                                                       \
        WAIT(command("store") == (code));                                                      \
        CHECK((code) == DTM_OK || strstr(detail, text));                                       \
    } while (0)

/* G06: deleted, put back, replaced. */
static void replaced(void)
{
    char away[160];
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    snprintf(away, sizeof away, "%s.away", store_path());
    CHECK_EQ(rename(store_path(), away), 0);
    CHECK_EQ(command("action steps"), -ESTALE);
    CHECK(strstr(detail, "DB_REPLACED"));
    CHECK(serves());
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_GO), -ESTALE);
    WAIT_STORE(-ESTALE, "DB_REPLACED");
    observe(300);
    CHECK_EQ(access(store_path(), F_OK), -1); /* nobody made an empty one in its place */
    FILE *empty = fopen(store_path(), "we");
    CHECK(empty);
    fclose(empty);
    CHECK_EQ(command("action steps"), -ESTALE);
    CHECK_EQ(unlink(store_path()), 0);
    CHECK_EQ(rename(away, store_path()), 0);
    WAIT_STORE(DTM_OK, "");
    let_go(id);
    finish_acting();
}

static void write_file(const char *text)
{
    FILE *file = fopen(store_path(), "we");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

/* G06: what is at the path is something else: it is said, and left alone. */
static void not_a_store(void)
{
    char text[32] = "";
    struct service service = acting_service();
    write_file("Dear database,\nthis is a letter that is longer than a header would be.");
    start(&service);
    WAIT_STORE(-EIO, "DB_CORRUPT");
    CHECK_EQ(command("action steps"), -EIO);
    CHECK(serves());
    FILE *file = fopen(store_path(), "re");
    CHECK(file && fgets(text, sizeof text, file) && !strcmp(text, "Dear database,\n"));
    fclose(file);
    /* Mended: it goes on by itself. */
    CHECK_EQ(unlink(store_path()), 0);
    WAIT_STORE(DTM_OK, "");
    begin_until(DTM_INSTANCE_DONE, "steps");
    finish_acting();
}

static void of_another_program(void)
{
    struct service service = acting_service();
    FILE *other = sqlite("w");
    sql(other, "CREATE TABLE customers(name); INSERT INTO customers VALUES('kept');");
    pclose(other);
    start(&service);
    WAIT_STORE(DTM_ECONFIG, "something else");
    CHECK(serves());
    other = sqlite("w");
    sql(other, "BEGIN IMMEDIATE; DROP TABLE customers; PRAGMA application_id=1685351729;"
               "PRAGMA user_version=99; CREATE TABLE kv(key); COMMIT;");
    pclose(other);
    WAIT(command("store") == DTM_ECONFIG && strstr(detail, "schema 99"));
    finish_acting();
}

/* G06: a record that was scribbled over by hand. */
static void damaged_record(void)
{
    struct service service = acting_service();
    start(&service);
    begin_until(DTM_INSTANCE_WAITING, "steps go");
    finish();
    FILE *other = sqlite("w");
    sql(other, "UPDATE kv SET value = 'x' WHERE CAST(key AS TEXT) LIKE 'i/%';");
    pclose(other);
    start_again(&service);
    WAIT(command("store") == -EIO && strstr(detail, "cannot be read"));
    finish_acting();
}

/* G07: not there at the start, and later. */
static void comes_later(void)
{
    static char uri[200];
    char dir[160];
    struct service service = acting_service();
    snprintf(dir, sizeof dir, "%s/later", scratch());
    snprintf(uri, sizeof uri, "sqlite:%s/actions.db", dir);
    service.config.store = uri;
    start(&service);
    CHECK(serves());
    CHECK_EQ(count_open(0), 3);
    WAIT_STORE(-ETIMEDOUT, "No such file");
    CHECK_EQ(command("action steps"), -ETIMEDOUT);
    CHECK_EQ(mkdir(dir, 0700), 0);
    WAIT_STORE(DTM_OK, "");
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "steps");
    check_promise(id, 3);
    struct stat status;
    CHECK_EQ(stat(uri + strlen("sqlite:"), &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0600);
    finish();
    unlink(uri + strlen("sqlite:"));
    CHECK_EQ(rmdir(dir), 0);
}

static void read_only(void)
{
    if (geteuid() != 0) { /* it mounts */
        printf("# skipped: needs root\n");
        return;
    }
    struct service service = acting_service();
    start(&service);
    begin_action("steps go");
    finish();
    CHECK_EQ(unshare(CLONE_NEWNS), 0);
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount(store_path(), store_path(), NULL, MS_BIND, NULL), 0);
    CHECK_EQ(mount(NULL, store_path(), NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    start_again(&service);
    WAIT_STORE(-EROFS, "DB_READONLY");
    CHECK(serves());
    CHECK_EQ(umount(store_path()), 0);
    WAIT_STORE(DTM_OK, "");
    finish_acting();
}

/* G02: another controller takes over: the old one changes nothing any more, and leaves. */
static void fenced(void)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    int old = controller()->pid;
    kill(old, SIGSTOP);
    WAIT(state_of(old) == 'T');
    /* As a later controller of the same run signs. */
    FILE *other = sqlite("w");
    sql(other,
        "UPDATE revision SET n = n + 1; UPDATE kv SET version = (SELECT n FROM revision),"
        " value = replace(value, 'epoch 1' || char(10), 'epoch 2' || char(10))"
        " WHERE CAST(key AS TEXT) = 'owner';");
    pclose(other);
    kill(old, SIGCONT);
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_GO), DTM_EGONE);
    WAIT(!runs(old));
    CHECK_EQ(effects_of(id, 2), 0);
    /* The next one has the epoch that was signed with. */
    WAIT(controller() && controller()->pid != old);
    WAIT_STORE(DTM_OK, "");
    let_go(id);
    finish_acting();
}

/* One store, two services: the second one waits for the end of the first. */
static void taken(void)
{
    char line[256];
    struct service service = acting_service();
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    finish();
    /* The first is still alive: this very process signs. */
    FILE *stat = fopen("/proc/self/stat", "re"), *other = sqlite("w");
    unsigned long long began = 0;
    CHECK(stat && fscanf(stat,
                         "%*d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                         "%*s %*s %*s %*s %*s %*s %llu",
                         &began) == 1);
    fclose(stat);
    snprintf(
        line, sizeof line,
        "UPDATE kv SET value = replace(substr(value, 1, instr(value, 'pid ') - 1), 'run ', "
        "'run other') || 'pid %d' || char(10) || 'began %llu' || char(10) "
        "WHERE CAST(key AS TEXT) = 'owner';",
        (int)getpid(), began);
    sql(other, line);
    pclose(other);
    start_again(&service);
    snprintf(line, sizeof line, "pid %d", (int)getpid());
    WAIT_STORE(DTM_EREFUSED, line);
    CHECK(serves());
    other = sqlite("w");
    sql(other, "UPDATE kv SET value = replace(value, 'began ', 'began 1') "
               "WHERE CAST(key AS TEXT) = 'owner';"); /* that process is gone */
    pclose(other);
    WAIT_STORE(DTM_OK, "");
    let_go(id);
    finish_acting();
}

static const struct test tests[] = {
    {"there from the beginning, or not", comes_later},
    {"deleted or replaced", replaced},
    {"not a store", not_a_store},
    {"of another program", of_another_program},
    {"a damaged record", damaged_record},
    {"read-only", read_only},
    {"fenced", fenced},
    {"taken", taken},
};
TEST_MAIN(tests)
