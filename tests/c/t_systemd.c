/*
 * The service manager, as a service sees it: a datagram socket that takes messages and
 * descriptors, and descriptors that are there at the start.
 * faults: N1
 */
#include "modes.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STORE = 8, MESSAGES = 256 };

/* What the manager has heard, in order, and what it keeps. */
static struct {
    int socket;
    char name[108];
    char text[MESSAGES][512];
    int count;
    int stored[STORE], stored_count;
    char stored_name[STORE][128];
} manager;

static void open_manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    memset(&manager, 0, sizeof manager);
    manager.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(manager.name, sizeof manager.name, "%s", name);
    strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    else
        len = sizeof address;
    CHECK_EQ(bind(manager.socket, (struct sockaddr *)&address, len), 0);
}

static void close_manager(void)
{
    if (manager.name[0] == '/')
        CHECK_EQ(unlink(manager.name), 0);
    close(manager.socket);
    for (int i = 0; i < manager.stored_count; i++)
        close(manager.stored[i]);
}

/* Take what has come. */
static void listen_to_it(void)
{
    for (;;) {
        char *text = manager.text[manager.count % MESSAGES];
        char control[CMSG_SPACE(sizeof(int) * 4)];
        struct iovec part = {text, sizeof manager.text[0] - 1};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(manager.socket, &message, MSG_CMSG_CLOEXEC);
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            return;
        }
        text[n] = 0;
        manager.count++;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head && head->cmsg_type == SCM_RIGHTS) {
            int at = manager.stored_count++;
            CHECK(at < STORE);
            memcpy(&manager.stored[at], CMSG_DATA(head), sizeof(int));
            CHECK(sscanf(text, "FDSTORE=1\nFDNAME=%127s", manager.stored_name[at]) == 1);
        }
    }
}

/* The first message at or after `from` in which this is a line; -1: none. */
static int heard(const char *line, int from)
{
    listen_to_it();
    for (int i = from; i < manager.count; i++) {
        const char *text = manager.text[i], *at = strstr(text, line);
        if (at && (at == text || at[-1] == '\n'))
            return i;
    }
    return -1;
}

static int count_heard(const char *line)
{
    int count = 0;
    for (int at = heard(line, 0); at >= 0; at = heard(line, at + 1))
        count++;
    return count;
}

static const char *watchdog_usec;

static void use_manager(void)
{
    setenv("NOTIFY_SOCKET", manager.name, 1);
    if (watchdog_usec)
        setenv("WATCHDOG_USEC", watchdog_usec, 1);
}

static struct service managed(const char *socket_name)
{
    struct service service = a_service();
    open_manager(socket_name);
    service.before = use_manager;
    return service;
}

static const char *at_path(void)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/notify", scratch());
    return path;
}

static const char *abstract(void)
{
    static char name[100];
    snprintf(name, sizeof name, "@dtm-test-%d", (int)getpid());
    return name;
}

static unsigned long long monotonic_usec(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/* N1: READY when all serve; each reload begins with RELOADING and the time, and ends with
 * READY, whether it succeeded or not; STOPPING first of all at the end. */
static void a_life(const char *socket_name)
{
    struct service service = managed(socket_name);
    shared->init_trouble = HANG;
    launch(&service);
    WAIT(heard("STATUS=starting", 0) >= 0);
    WAIT(heard("EXTEND_TIMEOUT_USEC=65000000", 0) >= 0);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    CHECK_EQ(heard("READY=1", 0), -1); /* nobody serves */
    for (uint32_t i = 0; i < 3; i++)
        kill(kid_of(2 + i)->pid, SIGKILL);
    SET(shared->init_trouble, NO_TROUBLE);
    WAIT(heard("READY=1", 0) >= 0);
    CHECK(count_open(1) >= 1);
    WAIT(heard("STATUS=3 workers of generation 1 serve", 0) >= 0);

    int before = manager.count;
    unsigned long long asked = monotonic_usec(), told = 0;
    kill(shared->host, SIGHUP);
    WAIT(heard("READY=1", before) >= 0);
    int begun = heard("RELOADING=1", before), done = heard("READY=1", before);
    CHECK(begun >= 0 && begun < done);
    CHECK(sscanf(strstr(manager.text[begun], "MONOTONIC_USEC="), "MONOTONIC_USEC=%llu",
                 &told) == 1);
    CHECK(told >= asked && told <= monotonic_usec());
    CHECK(strstr(manager.text[begun], "EXTEND_TIMEOUT_USEC=127000000"));
    CHECK(strstr(manager.text[done], "STATUS=reload to generation 2: generation 2 serves"));

    before = manager.count;
    shared->init_trouble = FAIL;
    kill(shared->host, SIGHUP);
    WAIT(heard("READY=1", before) >= 0);
    begun = heard("RELOADING=1", before), done = heard("READY=1", before);
    CHECK(begun >= 0 && begun < done);
    CHECK(strstr(manager.text[done], "failed in its init callback"));
    CHECK(strstr(manager.text[done], "generation 2 serves on"));

    before = manager.count;
    shared->config_fails = 1;
    kill(shared->host, SIGHUP);
    WAIT(heard("READY=1", before) >= 0);
    CHECK(heard("RELOADING=1", before) < heard("READY=1", before));

    before = manager.count;
    finish();
    int stopping = heard("STOPPING=1", before);
    CHECK(stopping >= 0);
    CHECK(strstr(manager.text[stopping], "EXTEND_TIMEOUT_USEC=69000000"));
    CHECK_EQ(count_heard("STOPPING=1"), 1);
    close_manager();
}

static void with_a_path(void)
{
    a_life(at_path());
}

static void with_an_abstract_name(void)
{
    a_life(abstract());
}

/* Without a limit the manager's is moved on; that is a matter of a minute, see the unit
 * tests. Here: it is said that there is none. */
static void nobody_listens(void)
{
    struct service service = managed(at_path());
    close_manager();
    start(&service);
    CHECK(serves());
    CHECK_EQ(logged("NOTIFY_SOCKET:"), 1); /* said once */
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(logged("NOTIFY_SOCKET:"), 1);
    finish();
}

/* WATCHDOG=1 while the loop runs, and only then. */
static void the_watchdog(void)
{
    watchdog_usec = "100000";
    struct service service = managed(abstract());
    start(&service);
    WAIT(count_heard("WATCHDOG=1") >= 3);
    CHECK_EQ(kill(shared->host, SIGSTOP), 0);
    WAIT(state_of(shared->host) == 'T');
    int before = count_heard("WATCHDOG=1");
    observe(300);
    CHECK_EQ(count_heard("WATCHDOG=1"), before);
    CHECK_EQ(kill(shared->host, SIGCONT), 0);
    WAIT(count_heard("WATCHDOG=1") > before);
    finish();
    close_manager();
}

/* The manager starts the service with what it keeps. */
static void restore(void)
{
    char number[16], names[512] = "";
    int high[STORE];
    for (int i = 0; i < manager.stored_count; i++)
        high[i] = fcntl(manager.stored[i], F_DUPFD, 100);
    for (int i = 0; i < manager.stored_count; i++) {
        CHECK_EQ(dup2(high[i], 3 + i), 3 + i);
        close(high[i]);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ":" : "",
                 manager.stored_name[i]);
    }
    snprintf(number, sizeof number, "%d", manager.stored_count);
    setenv("LISTEN_FDS", number, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, 1);
}

static void restore_and_use(void)
{
    restore();
    use_manager();
}

/* The listeners outlive the master: who connects meanwhile is served by the next. */
static void outlive_a_crash(uint32_t mode)
{
    struct service service = managed(abstract());
    char path[160];
    snprintf(path, sizeof path, "unix:%s/socket", scratch());
    service.listen[1] = path;
    service.config.accept_mode = mode;
    start(&service);
    CHECK(serves());
    listen_to_it();
    CHECK_EQ(manager.stored_count, 3);
    CHECK_EQ(strncmp(manager.stored_name[0], "dtm-127.0.0.1_", 14), 0);
    int port = shared->port[0];
    CHECK_EQ(kill(shared->host, SIGKILL), 0);
    wait_host();
    WAIT(survivors(NULL, 0) == 0);
    int early[8];
    for (int i = 0; i < 8; i++) {
        early[i] = i % 2 ? dial_address(path) : dial(port);
        say(early[i], "who");
    }
    struct service next = a_service();
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    next.listen[0] = address;
    next.listen[1] = path;
    next.before = restore;
    next.config.accept_mode = mode;
    start(&next);
    for (int i = 0; i < 8; i++) {
        CHECK(hear(early[i]));
        hang_up(early[i]);
    }
    CHECK(serves());
    CHECK_EQ(logged("<1>"), 0); /* found in systemd: a socket that is steered already */
    /* The socket file is ours again, and removed at the end. */
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    check_no_survivors();
    CHECK(access(path + strlen("unix:"), F_OK) != 0);
    CHECK(access(control_path(), F_OK) != 0);
    close_manager();
}

static void listeners_outlive_a_crash(void)
{
    outlive_a_crash(DTM_ACCEPT_TOKEN);
}

static void steered_listeners_outlive_a_crash(void)
{
    if (may_steer())
        outlive_a_crash(DTM_ACCEPT_STEER);
}

/* The socket's file went with the crash, as in a RuntimeDirectory=: there is a new one, and
 * the manager is not left with both. */
static void file_gone(void)
{
    struct service service = managed(abstract());
    char path[160];
    snprintf(path, sizeof path, "unix:%s/socket", scratch());
    service.listen[1] = path;
    start(&service);
    listen_to_it();
    CHECK_EQ(manager.stored_count, 3);
    CHECK_EQ(kill(shared->host, SIGKILL), 0);
    wait_host();
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(unlink(path + strlen("unix:")), 0);
    struct service next = a_service();
    int from = manager.count;
    next.listen[1] = path;
    next.before = restore_and_use;
    start(&next);
    hang_up(dial_address(path));
    int removed = heard("FDSTOREREMOVE=1", from), stored = heard("FDSTORE=1", from);
    CHECK(from <= removed && removed < stored);
    CHECK(strstr(manager.text[removed], "/socket"));
    CHECK(strstr(manager.text[stored], "/socket"));
    CHECK_EQ(count_heard("FDSTOREREMOVE=1"), 1); /* the others are in use */
    CHECK_EQ(manager.stored_count, 4);
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    check_no_survivors();
    close_manager();
}

/* A socket unit with a name; what nobody claims is left alone. */
static void passed_by_name(void)
{
    struct service service = managed(abstract());
    for (int i = 0; i < 2; i++) {
        manager.stored[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQ(listen(manager.stored[i], 8), 0);
        snprintf(manager.stored_name[i], sizeof manager.stored_name[i], i ? "web" : "other");
    }
    manager.stored_count = 2;
    service.before = restore;
    service.listen[0] = "systemd:web";
    launch(&service);
    WAIT(count_open(0) == 3);
    CHECK(serves());
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->fds_after + 1, shared->fds_before); /* web is closed, other is not */
    check_no_survivors();

    struct service wrong = a_service();
    wrong.before = restore;
    wrong.listen[0] = "systemd:ftp";
    launch(&wrong);
    CHECK_EQ(wait_host(), 0);
    CHECK(strstr(shared->error, "there are: other, web"));
    close_manager();
}

static const struct test tests[] = {
    {"a life, told to a path", with_a_path},
    {"a life, told to an abstract name", with_an_abstract_name},
    {"nobody listens", nobody_listens},
    {"the watchdog", the_watchdog},
    {"listeners outlive a crash", listeners_outlive_a_crash},
    {"steered listeners outlive a crash", steered_listeners_outlive_a_crash},
    {"a file that did not outlive it", file_gone},
    {"passed by name", passed_by_name},
};
TEST_MAIN(tests)
