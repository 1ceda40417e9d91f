/*
 * Sockets that the service manager passes, keeps and gets back.
 * faults: N1
 */
#include "diag.h"
#include "manager.h"
#include "modes.h"
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void restore_and_use(void)
{
    restore();
    use_manager();
}

/* The listeners outlive the master: who connects meanwhile is served by the next. */
static void outlive_a_crash(uint32_t mode)
{
    struct service service = managed(at_no_path());
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
    struct service service = managed(at_no_path());
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
    struct service service = managed(at_no_path());
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

/* What config_load is to have beside the harness' own listener. */
enum { LENT_WANTED, LENT_LOADED, LENT_INDEX };
static const char *lent_name;

static int32_t lent_or_not(dtm_t *rt, const char *path, void *user_data)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    dtm_self_t self;
    (void)path, (void)user_data;
    dtm_self(rt, &self, sizeof self);
    if (self.role != DTM_ROLE_MASTER)
        return 0;
    if (!GET(shared->custom[LENT_WANTED]))
        return dtm_unlisten(rt, (uint32_t)shared->custom[LENT_INDEX]);
    listen.address = lent_name;
    listen.backlog = 20;
    int32_t index = dtm_listen(rt, &listen);
    SET(shared->custom[LENT_INDEX], index);
    return index < 0 ? index : 0;
}

/* A reload that does not want a socket unit's socket gives it back: it goes on listening,
 * nobody here takes from it, and a later reload may want it again, by name or address. Who
 * came meanwhile is served then. */
static void given_back(uint32_t mode, bool by_name)
{
    struct service service = managed(at_no_path());
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof in;
    char address[32];
    manager.stored[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(manager.stored[0], (struct sockaddr *)&in, len), 0);
    CHECK_EQ(listen(manager.stored[0], 8), 0);
    CHECK_EQ(getsockname(manager.stored[0], (struct sockaddr *)&in, &len), 0);
    int port = ntohs(in.sin_port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    snprintf(manager.stored_name[0], sizeof manager.stored_name[0], "web");
    manager.stored_count = 1;
    lent_name = by_name ? "systemd:web" : address;
    service.before = restore_and_use;
    service.callbacks.config_load = lent_or_not;
    service.config.accept_mode = mode;
    shared->custom[LENT_WANTED] = 1;
    start(&service);
    size_t fds = 0;
    for (int round = 1; round <= 3; round++) {
        hang_up(dial(shared->port[0]));
        int fd = dial(port);
        CHECK_EQ(who(fd).generation, 2 * round - 1);
        hang_up(fd);
        SET(shared->custom[LENT_WANTED], 0);
        CHECK_EQ(command("reload"), DTM_OK);
        WAIT(logged("is closed") == (uint32_t)round);
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        int early[4];
        for (int i = 0; i < 4; i++) {
            early[i] = dial(port);
            say(early[i], "who");
        }
        CHECK(serves());
        observe(100);
        struct pollfd pollfd = {.fd = early[0], .events = POLLIN};
        CHECK_EQ(poll(&pollfd, 1, 0), 0); /* it waits */
        CHECK_EQ(backlogs_at_port(port).sockets, 1);
        SET(shared->custom[LENT_WANTED], 1);
        CHECK_EQ(command("reload"), DTM_OK);
        for (int i = 0; i < 4; i++) {
            CHECK(hear(early[i]));
            hang_up(early[i]);
        }
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        if (round == 1)
            fds = count_fds(shared->host);
    }
    /* The dead have one for a moment longer, and what the manager is to keep waits for it. */
    WAIT((listen_to_it(), count_fds(shared->host) <= fds));
    CHECK(!keeps("dtm-127.0.0.1")); /* it is not ours to store */
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    check_no_survivors();
    CHECK_EQ(backlogs_at_port(port).sockets, 1); /* the manager's, for the next start */
    close_manager();
}

static void given_back_by_name(void)
{
    given_back(DTM_ACCEPT_TOKEN, true);
}

static void given_back_by_address(void)
{
    given_back(DTM_ACCEPT_HASH, false);
}

static void given_back_when_steered(void)
{
    if (may_steer())
        given_back(DTM_ACCEPT_STEER, true);
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
    if (shared->custom[0] != 2)
        return dtm_unlisten(rt, (uint32_t)index);
    index = dtm_listen(rt, &listen);
    return index < 0 ? index : 0;
}

static void stored_as_it_stands(void)
{
    struct service service = managed(at_no_path());
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
    {"listeners outlive a crash", listeners_outlive_a_crash},
    {"steered listeners outlive a crash", steered_listeners_outlive_a_crash},
    {"a file that did not outlive it", file_gone},
    {"passed by name", passed_by_name},
    {"given back and taken again, by name", given_back_by_name},
    {"given back and taken again, by address", given_back_by_address},
    {"given back and taken again, steered", given_back_when_steered},
    {"stored as it stands", stored_as_it_stands},
};
TEST_MAIN(tests)
