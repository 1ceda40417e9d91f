/*
 * Listeners that stay: changed by a reload, and untouched by one that fails.
 * faults: C16, D14
 */
#include "diag.h"
#include "proc.h"
#include "relisten.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct before {
    uint64_t spawns[2], last;
};

static struct before before(void)
{
    return (struct before){{nth_open(0)->spawn, nth_open(1)->spawn}, shared->last_spawn};
}

static void serves_as(const struct before *before)
{
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(nth_open(i)->spawn, before->spawns[i]);
    as_before();
    for (int place = 1; place <= 3; place++)
        answers(place);
}

/* D14, C16: the address is another's. */
static void an_address_in_use(void)
{
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    struct load *load = load_start(2);
    struct before old = before();
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 5);
    socklen_t len = sizeof in;
    int rival = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(rival, (struct sockaddr *)&in, len) | listen(rival, 1), 0);
    CHECK_EQ(getsockname(rival, (struct sockaddr *)&in, &len), 0);
    for (int i = 0; i < 3; i++) {
        char taken[64], said[96];
        snprintf(taken, sizeof taken, "127.0.0.6:%d", ntohs(in.sin_port));
        snprintf(said, sizeof said, "listen %s: Address already in use", taken);
        want(4, unix_place("fresh")); /* is bound before the other one fails */
        want(5, taken);
        want(1, "");
        CHECK_EQ(command("reload"), DTM_ECONFIG);
        if (!strstr(detail, said))
            fail_at(__FILE__, __LINE__, "'%s' does not say '%s'", detail, said);
        CHECK_EQ(shared->last_spawn, old.last);
        CHECK(access(strchr(unix_place("fresh"), '/'), F_OK) < 0);
        serves_as(&old);
    }
    close(rival);
    load_stop(load);
    lost_nothing(load);
    finish();
    CHECK_EQ(shared->result.failed_reloads, 3);
}

/* The new generation fails when all is bound: nobody has noticed, at the new address
 * either, where nobody has been accepted. */
static void a_reload_that_fails_later(void)
{
    struct service service = with_plan(2);
    service.config.start_timeout_ms = 1500;
    four_places();
    start_in_mode(&service);
    struct before old = before();
    int reserve = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 4);
    socklen_t len = sizeof in;
    setsockopt(reserve, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    CHECK_EQ(bind(reserve, (struct sockaddr *)&in, len), 0);
    CHECK_EQ(getsockname(reserve, (struct sockaddr *)&in, &len), 0);
    int port = ntohs(in.sin_port);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.5:%d", port);
    want(4, address);
    want(5, unix_place("fresh"));
    want(1, "");
    want(3, "");
    plan->tag[2] = 777;
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    int asked = ask_command("reload");
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    int early = try_at(4, "", port, SOCK_NONBLOCK);
    CHECK(early >= 0); /* neither accepted nor refused */
    struct pollfd pollfd = {.fd = early, .events = POLLOUT};
    CHECK_EQ(poll(&pollfd, 1, 200), 0);
    CHECK(access(strchr(unix_place("fresh"), '/'), F_OK) < 0);
    CHECK_EQ(command_answer(asked), DTM_EFAILED);
    plan->tag[2] = 202;
    memcpy(plan->index, (int[PLACES]){-1, 1, 2, 3, -1, -1}, sizeof plan->index);
    want(1, "127.0.0.2:0"), want(2, "127.0.0.3:0"), want(3, unix_place("old"));
    want(4, ""), want(5, "");
    memcpy(plan->old, plan->address, sizeof plan->old);
    for (int place = 2; place <= 3; place++)
        answers(place);
    CHECK_EQ(poll(&pollfd, 1, 10000), 1);
    int error = 0;
    len = sizeof error;
    getsockopt(early, SOL_SOCKET, SO_ERROR, &error, &len);
    CHECK_EQ(error, ECONNREFUSED);
    close(early);
    CHECK(is_refused(4, port));
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(nth_open(i)->spawn, old.spawns[i]);
    /* The same again, without the trouble. */
    SET(shared->init_trouble, NO_TROUBLE);
    want(4, address);
    want(1, "");
    CHECK_EQ(command("reload"), DTM_OK);
    for (int place = 2; place <= 4; place++)
        answers(place);
    close(reserve);
    finish();
}

static void tag_and_mode_change(void)
{
    struct stat file;
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    plan->tag[1] = 555, plan->tag[3] = 556, plan->unix_mode = 0600;
    CHECK_EQ(command("reload"), DTM_OK);
    answers(1);
    answers(3);
    CHECK_EQ(stat(strchr(plan->old[3], '/'), &file), 0);
    CHECK_EQ(file.st_mode & 0777, 0600);
    finish();
}

static bool all_have(struct backlogs found, uint32_t backlog)
{
    return found.sockets > 0 && found.least == backlog && found.most == backlog;
}

/* Of each socket of the listener, those that wait for more workers included: it is the
 * kernel that is asked. */
static void the_backlog_changes(void)
{
    struct service service = with_plan(2);
    four_places();
    plan->backlog = 100;
    start_in_mode(&service);
    int port = plan->port[1];
    const char *path = strchr(plan->old[3], '/');
    uint32_t doors = backlogs_at_port(port).sockets;
    CHECK(all_have(backlogs_at_port(port), 100));
    CHECK(all_have(backlogs_at_path(path), 100));
    struct load *load = load_start(2);
    plan->backlog = 50;
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(all_have(backlogs_at_port(port), 50));
    CHECK(all_have(backlogs_at_path(path), 50));
    plan->fails = EPERM, plan->backlog = 70; /* nothing of a reload that fails stays */
    CHECK_EQ(command("reload"), DTM_ECONFIG);
    CHECK(all_have(backlogs_at_port(port), 50));
    plan->fails = 0, plan->backlog = 50;
    CHECK_EQ(command("scale 5"), DTM_OK);
    WAIT(count_open(0) == 5);
    CHECK(all_have(backlogs_at_port(port), 50));
    CHECK(backlogs_at_port(port).sockets >= doors);
    plan->backlog = 0; /* the default, as if nobody had said anything */
    uint32_t most = (uint32_t)atoi(slurp("/proc/sys/net/core/somaxconn"));
    uint32_t usual = most < 511 ? most : 511;
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(all_have(backlogs_at_port(port), usual));
    CHECK(all_have(backlogs_at_path(path), usual));
    answers(1);
    answers(3);
    load_stop(load);
    lost_nothing(load);
    finish();
}

/* DTM_CMD_LOADCONF forks nobody, so nobody would know them. */
static void loadconf_changes_none(void)
{
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    struct before old = before();
    want(4, unix_place("fresh"));
    CHECK_EQ(command("loadconf"), DTM_ECONFIG);
    CHECK(strstr(detail, "takes a reload"));
    as_before();
    want(1, "");
    CHECK_EQ(command("loadconf"), DTM_ECONFIG);
    as_before();
    CHECK_EQ(command("loadconf"), DTM_OK);
    serves_as(&old);
    finish();
}

static const struct test tests[] = {
    {"an address in use", an_address_in_use},
    {"a reload that fails later", a_reload_that_fails_later},
    {"tag and mode change", tag_and_mode_change},
    {"the backlog changes", the_backlog_changes},
    {"loadconf changes none", loadconf_changes_none},
};

MODES_MAIN(tests)
