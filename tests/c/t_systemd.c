/*
 * The service manager, as a service sees it: a datagram socket that takes messages and
 * descriptors, and descriptors that are there at the start.
 * faults: N1
 */
#include "manager.h"
#include "modes.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
    CHECK_EQ(manager.stored_count, 3);           /* in its place */
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

/* It was heard, though it has to wait: the manager is told so at once. */
static void a_deferred_reload(void)
{
    struct service service = managed(abstract());
    start(&service);
    WAIT(heard("READY=1", 0) >= 0);
    CHECK_EQ(command("nofork 60000"), DTM_OK);
    int before = manager.count;
    kill(shared->host, SIGHUP);
    WAIT(heard("RELOADING=1", before) >= 0);
    int begun = heard("RELOADING=1", before);
    CHECK(strstr(manager.text[begun], "MONOTONIC_USEC="));
    CHECK(strstr(manager.text[begun], "EXTEND_TIMEOUT_USEC="));
    observe(100);
    CHECK_EQ(heard("READY=1", before), -1);
    CHECK_EQ(command("fork"), DTM_OK);
    WAIT(heard("READY=1", before) >= 0);
    int done = heard("READY=1", before);
    CHECK(strstr(manager.text[done], "generation 2 serves"));
    CHECK_EQ(heard("RELOADING=1", begun + 1), -1); /* said once */
    finish();
    close_manager();
}

/* What a reload brings is kept, what it takes away is not. */
static int32_t another_listener(dtm_t *rt, const char *path, void *user_data)
{
    static int32_t index = -1;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    dtm_self_t self;
    (void)path, (void)user_data;
    dtm_self(rt, &self, sizeof self);
    if (self.role != DTM_ROLE_MASTER || ADD(shared->custom[0], 1) == 1)
        return 0;
    listen.address = "unix:@dtm-test-another";
    if (shared->custom[0] == 2)
        return index = dtm_listen(rt, &listen);
    return dtm_unlisten(rt, (uint32_t)index);
}

static void stored_as_it_stands(void)
{
    struct service service = managed(abstract());
    service.callbacks.config_load = another_listener;
    start(&service);
    WAIT(heard("READY=1", 0) >= 0);
    int before = manager.stored_count;
    CHECK(!keeps("dtm-unix_@dtm-test-another"));
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(keeps("dtm-unix_@dtm-test-another"));
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(!keeps("dtm-unix_@dtm-test-another"));
    CHECK_LE(before, manager.stored_count);
    finish();
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
    {"a deferred reload", a_deferred_reload},
    {"stored as it stands", stored_as_it_stands},
};
TEST_MAIN(tests)
