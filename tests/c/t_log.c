/*
 * Logging, set up anew in every process.
 * flow: M4, M12, L9
 * faults: C11
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool file_has(const char *path, const char *text)
{
    char line[1024];
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = strstr(line, text) != NULL;
    if (f)
        fclose(f);
    return found;
}

static bool holds(pid_t pid, const char *path)
{
    char link[64], target[256];
    for (int fd = 0; fd < 256; fd++) {
        snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n > 0 && (target[n] = 0, !strcmp(target, path)))
            return true;
    }
    return false;
}

static const char *log_of(const char *role)
{
    static char path[4][160];
    static int next;
    char *to = path[next++ % 4];
    snprintf(to, 160, "%s/%s.log", scratch(), role);
    return to;
}

static void put(const char *conf, const char *target)
{
    FILE *f = fopen(conf, "we");
    CHECK(f && fprintf(f, "[dtm]\nlog_target = %s\n", target) > 0 && fclose(f) == 0);
}

/* L9: each role its own file; the master's is not open in a child. */
static void files(void)
{
    char target[160], pid[32];
    struct service service = a_service();
    snprintf(target, sizeof target, "file:%s/%%r.log", scratch());
    service.config.log_target = target;
    start(&service);
    struct kid *worker = nth_open(0), *boss = controller();
    CHECK(holds(shared->host, log_of("master")));
    CHECK(holds(worker->pid, log_of("worker")) && !holds(worker->pid, log_of("master")));
    CHECK(holds(boss->pid, log_of("controller")) && !holds(boss->pid, log_of("master")));
    snprintf(pid, sizeof pid, "[%d]", worker->pid);
    WAIT(file_has(log_of("worker"), pid));
    CHECK(!file_has(log_of("master"), pid)); /* as the writer; it may be written about */
    snprintf(pid, sizeof pid, "[%d]", shared->host);
    WAIT(file_has(log_of("master"), pid));
    finish();
    unlink(log_of("host")), unlink(log_of("master"));
    unlink(log_of("worker")), unlink(log_of("controller"));
}

/* What could not be opened anew is named; everything else is. */
static void reopened(void)
{
    char target[160];
    struct service service = a_service();
    snprintf(target, sizeof target, "file:%s/%%r.log", scratch());
    service.config.log_target = target;
    start(&service);
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK_EQ(rename(log_of("worker"), log_of("moved")), 0);
    CHECK_EQ(mkdir(log_of("worker"), 0700), 0);
    CHECK_EQ(unlink(log_of("controller")), 0);
    CHECK_EQ(command("reopen"), DTM_EFAILED);
    CHECK(strstr(detail, log_of("worker")));
    CHECK(strstr(detail, strerror(EISDIR)));
    WAIT(holds(controller()->pid, log_of("controller")));
    CHECK(holds(nth_open(0)->pid, log_of("moved")));
    CHECK_EQ(rmdir(log_of("worker")), 0);
    CHECK_EQ(command("reopen"), DTM_OK);
    WAIT(holds(nth_open(0)->pid, log_of("worker")));
    finish();
    unlink(log_of("host")), unlink(log_of("master")), unlink(log_of("moved"));
    unlink(log_of("worker")), unlink(log_of("controller"));
}

/* What could not be opened is tried again: at the next load, or when the log is reopened. */
static void tried_again(void)
{
    static const char *const asked[] = {"loadconf", "reload", "reopen"};
    char conf[160], folder[128], path[160];
    struct service service = a_service();
    snprintf(conf, sizeof conf, "%s/log.conf", scratch());
    service.config.config_file = conf;
    put(conf, "callback");
    start(&service);
    for (size_t i = 0; i < 3; i++) {
        snprintf(folder, sizeof folder, "%s/%s", scratch(), asked[i]);
        snprintf(path, sizeof path, "file:%s/%%r", folder);
        put(conf, path);
        CHECK_EQ(command("loadconf"), DTM_OK);
        CHECK_EQ(mkdir(folder, 0700), 0);
        CHECK_EQ(command("%s", asked[i]), DTM_OK);
        snprintf(path, sizeof path, "%s/master", folder);
        CHECK(holds(shared->host, path));
        snprintf(path, sizeof path, "%s/controller", folder);
        WAIT(holds(controller()->pid, path));
    }
    finish();
    snprintf(path, sizeof path, "cd %s && rm -r log.conf loadconf reload reopen", scratch());
    CHECK_EQ(system(path), 0);
}

/* M12: every life event is told: who, where, why. */
static void callback(void)
{
    char text[64];
    struct service service = a_service();
    start(&service);
    struct kid *kid = nth_open(0);
    end_kid(kid, SIGKILL);
    WAIT(count_open(1) == 3);
    snprintf(text, sizeof text, "%d", kid->pid);
    WAIT(logged(text));
    WAIT(logged("signal 9") || logged("SIGKILL"));
    bool by_master = false, by_worker = false, by_controller = false;
    for (uint32_t i = 0; i < GET(shared->log_count) && i < LOG_LINES; i++) {
        int pid = atoi(shared->log[i]);
        by_master |= pid == shared->host;
        by_worker |= pid == nth_open(1)->pid;
        by_controller |= pid == controller()->pid;
    }
    CHECK(by_master && by_worker && by_controller);
    finish();
}

static void set_environment(void)
{
    char value[160];
    snprintf(value, sizeof value, "trace,file:%s/env.log", scratch());
    setenv("LIBDTM_LOG", value, 1);
}

/* LIBDTM_LOG wins over the config, level and target. */
static void environment(void)
{
    struct service service = a_service();
    service.config.log_level = DTM_LOG_ERROR;
    service.before = set_environment;
    start(&service);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->log_count, 0); /* the callback got nothing */
    CHECK(file_has(log_of("env"), "info") || file_has(log_of("env"), "debug"));
    unlink(log_of("env"));
}

static void off(void)
{
    struct service service = a_service();
    service.config.log_target = "off";
    start(&service);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3);
    finish();
    CHECK_EQ(shared->log_count, 0);
}

static int syslog_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
    return fd;
}

/* Take what is there; did this process write something? */
static bool wrote(int fd, int pid)
{
    char line[8192];
    static int seen[256], count;
    for (ssize_t n; (n = recv(fd, line, sizeof line - 1, 0)) > 0;) {
        line[n] = 0;
        CHECK(line[0] == '<'); /* priority first: one record per datagram */
        const char *open = strstr(line, "test[");
        CHECK(open);
        if (count < 256)
            seen[count++] = atoi(open + 5);
    }
    for (int i = 0; i < count; i++)
        if (seen[i] == pid)
            return true;
    return false;
}

/* Has this worker's line come, which it is asked for? */
static bool wrote_when_asked(int fd, const struct kid *kid)
{
    int client = dial_worker(kid);
    CHECK_EQ(atoi(ask(client, "log a line of the service's own")), DTM_OK);
    hang_up(client);
    return wrote(fd, kid->pid);
}

/* The right pid in every process; a receiver that does not read blocks nobody,
 * and one that comes back is found again. */
static void to_syslog(void)
{
    char path[100], target[160]; /* sun_path has 108 */
    struct service service = a_service();
    snprintf(path, sizeof path, "%s/syslog", scratch());
    snprintf(target, sizeof target, "syslog:%s", path);
    service.config.log_target = target;
    int fd = syslog_socket(path);
    start(&service);
    WAIT(wrote(fd, shared->host)); /* the queue of such a socket is short: empty it first */
    for (uint32_t i = 0; i < 3; i++)
        WAIT(wrote_when_asked(fd, nth_open(i)));
    /* Nobody reads for a while. */
    for (int i = 0; i < 30; i++) {
        end_kid(nth_open(0), SIGKILL);
        WAIT(count_open(1) == 3);
    }
    /* The receiver is gone, then there is a new one. */
    close(fd), unlink(path);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3);
    fd = syslog_socket(path);
    for (uint32_t i = 0; i < 3; i++)
        WAIT(wrote_when_asked(fd, nth_open(i)));
    finish();
    close(fd), unlink(path);
}

static void full_pipe_as_stderr(void)
{
    int ends[2];
    char block[4096] = {0};
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(dup2(ends[1], 2), 2);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], block, sizeof block) > 0)
        ;
    while (write(ends[1], block, 1) > 0)
        ;
    CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0); /* the next writer would block */
    close(ends[1]);
}

/* Nobody reads stderr: lines are dropped, nobody waits. */
static void full_stderr(void)
{
    struct service service = a_service();
    service.config.log_target = "stderr";
    service.before = full_pipe_as_stderr;
    start(&service);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(serves());
    finish();
}

static void close_stdio(void)
{
    close(0), close(1), close(2);
}

/* Started without stdin, stdout and stderr: no channel becomes fd 1 or 2. */
static void without_stdio(void)
{
    char path[64], target[256];
    struct service service = a_service();
    service.before = close_stdio;
    service.config.log_target = "stderr";
    launch(&service);
    WAIT(count_open(0) == 3);
    for (int fd = 0; fd < 3; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", nth_open(0)->pid, fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = 0;
        CHECK(n < 0 || !strcmp(target, "/dev/null"));
    }
    CHECK(serves());
    shared->fds_before += 3; /* what was missing stays filled */
    finish();
}

static const struct test tests[] = {
    {"a file per role", files},
    {"reopened", reopened},
    {"tried again", tried_again},
    {"callback", callback},
    {"LIBDTM_LOG", environment},
    {"off", off},
    {"syslog", to_syslog},
    {"stderr is a full pipe", full_stderr},
    {"started without stdio", without_stdio},
};
TEST_MAIN(tests)
