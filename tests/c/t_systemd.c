/*
 * The service manager, as a service sees it: a datagram socket that takes messages and
 * descriptors, and descriptors that are there at the start.
 * faults: N1
 */
#include "manager.h"
#include "peer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *at_path(void)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/notify", scratch());
    return path;
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
    a_life(at_no_path());
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
    struct service service = managed(at_no_path());
    manager.watchdog_usec = "100000";
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

/* It was heard, though it has to wait: the manager is told so at once. */
static void a_deferred_reload(void)
{
    struct service service = managed(at_no_path());
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

/* It reads nothing, and its queue is full, when it is to be told something: it hears of it
 * later, and in order. */
static void a_busy_manager(void)
{
    struct service service = managed(at_no_path());
    fill_its_queue();
    start(&service);
    CHECK(serves());
    WAIT(heard("READY=1", 0) >= 0);
    int before = manager.count;
    fill_its_queue();
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(heard("READY=1", before) >= 0);
    CHECK(heard("RELOADING=1", before) >= 0);
    CHECK(heard("RELOADING=1", before) < heard("READY=1", before));
    finish();
    close_manager();
}

static const struct test tests[] = {
    {"a life, told to a path", with_a_path},
    {"a life, told to an abstract name", with_an_abstract_name},
    {"nobody listens", nobody_listens},
    {"the watchdog", the_watchdog},
    {"a deferred reload", a_deferred_reload},
    {"a busy manager", a_busy_manager},
};
TEST_MAIN(tests)
