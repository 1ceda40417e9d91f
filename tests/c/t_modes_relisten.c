/*
 * Listeners that a reload adds, removes or changes: with it or not at all.
 * flow: M1, M17, L3
 * faults: D14
 */
#include "diag.h"
#include "modes.h"
#include "proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACES = 6 };

/* What config_load is to have, and what it got. An address of port 0 is always that one. */
static struct plan {
    char address[PLACES][128]; /* empty: none */
    uint32_t unix_mode, backlog;
    uint64_t tag[PLACES];
    int index[PLACES], port[PLACES]; /* of what is in force; index -1: none */
    char old[PLACES][128];
    int fails;          /* returned in the end */
    int in_controller;  /* what dtm_listen() answers there */
    int outside, after; /* and in the master's event callback; dtm_unlisten() twice */
} * plan;

static int32_t load(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    (void)path, (void)user_data;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role != DTM_ROLE_MASTER) {
        listen.address = "unix:@nobody";
        plan->in_controller = dtm_listen(rt, &listen);
        return DTM_OK;
    }
    int index[PLACES], port[PLACES];
    for (int i = 0; i < PLACES; i++) {
        index[i] = -1, port[i] = 0;
        if (!plan->address[i][0])
            continue;
        listen.address = plan->address[i];
        listen.tag = plan->tag[i];
        listen.backlog = plan->backlog;
        listen.mode = strncmp(listen.address, "unix:", 5) ? 0 : plan->unix_mode;
        index[i] = dtm_listen(rt, &listen);
        if (index[i] < 0)
            return index[i];
        port[i] = dtm_listen_port(rt, (uint32_t)index[i]);
    }
    for (int i = 0; i < PLACES; i++)
        if (plan->index[i] >= 0 && strcmp(plan->old[i], plan->address[i])) {
            int code = dtm_unlisten(rt, (uint32_t)plan->index[i]);
            if (code < 0)
                return code;
            plan->after = dtm_unlisten(rt, (uint32_t)plan->index[i]);
        }
    if (plan->fails)
        return -plan->fails;
    memcpy(plan->index, index, sizeof index);
    memcpy(plan->port, port, sizeof port);
    memcpy(plan->old, plan->address, sizeof plan->old);
    return DTM_OK;
}

/* The plan that a failed reload has not carried out. */
static void as_before(void)
{
    memcpy(plan->address, plan->old, sizeof plan->old);
}

static void want(int place, const char *address)
{
    snprintf(plan->address[place], sizeof plan->address[place], "%s", address);
}

static const char *unix_place(const char *name)
{
    static char address[2][128];
    static int turn;
    char *text = address[turn ^= 1];
    snprintf(text, sizeof address[0], "unix:%s/%s", scratch(), name);
    return text;
}

/* Connected or, without waiting, on its way; -1 and errno. */
static int try_at(int place, const char *address, int port, int flags)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)place);
    (void)address;
    struct timeval limit = {.tv_sec = 30};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int dial_at(int place)
{
    if (!strncmp(plan->old[place], "unix:", 5))
        return dial_address(plan->old[place]);
    int fd = try_at(place, plan->old[place], plan->port[place], 0);
    if (fd < 0)
        fail_at(__FILE__, __LINE__, "connect to %s: %s", plan->old[place], strerror(errno));
    return fd;
}

/* It is answered there, as the listener that the plan says. */
static void answers(int place)
{
    char expected[64];
    int fd = dial_at(place);
    snprintf(expected, sizeof expected, "%d %llu", plan->index[place],
             (unsigned long long)plan->tag[place]);
    const char *answer = ask(fd, "tag");
    if (strcmp(answer, expected))
        fail_at(__FILE__, __LINE__, "%s: '%s', expected '%s'", plan->old[place], answer,
                expected);
    hang_up(fd);
}

/* Nobody listens there, after a moment at the latest. */
static bool is_refused(int place, int port)
{
    int fd = try_at(place, "", port, SOCK_NONBLOCK);
    if (fd < 0)
        return errno == ECONNREFUSED;
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;
    if (poll(&pollfd, 1, 1000) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    close(fd);
    return error == ECONNREFUSED;
}

static struct service with_plan(uint32_t workers)
{
    plan = shared_memory(sizeof *plan);
    for (int i = 0; i < PLACES; i++)
        plan->index[i] = -1, plan->tag[i] = 200 + (uint64_t)i;
    struct service service = in_mode(workers);
    service.callbacks.config_load = load;
    return service;
}

/* Place N is at 127.0.0.N+1; the harness has a listener of its own at 127.0.0.1. */
static void four_places(void)
{
    want(1, "127.0.0.2:0");
    want(2, "127.0.0.3:0");
    want(3, unix_place("old"));
}

static void added_and_removed_under_load(void)
{
    struct service service = with_plan(3);
    four_places();
    start_in_mode(&service);
    for (int place = 1; place <= 3; place++)
        answers(place);
    struct load *load = load_start(2);
    size_t fds = 0;
    for (int i = 0; i < 6; i++) {
        int removed = 1 + i % 2, added = 3 - removed, port = plan->port[removed];
        want(removed, "");
        want(added, added == 1 ? "127.0.0.2:0" : "127.0.0.3:0");
        want(3, unix_place(i % 2 ? "old" : "new"));
        CHECK_EQ(command("reload"), DTM_OK);
        answers(added);
        answers(3);
        /* The controller is older than any of them. */
        CHECK_EQ(command("accept %d", plan->index[added]), DTM_OK);
        CHECK(shared->accept.accepted >= 1);
        CHECK(access(strchr(unix_place(i % 2 ? "new" : "old"), '/'), F_OK) < 0);
        CHECK_EQ(plan->after, -ENOENT);
        WAIT(is_refused(removed, port));
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        if (i == 2)
            fds = count_fds(shared->host);
    }
    load_stop(load);
    lost_nothing(load);
    CHECK_LE(count_fds(shared->host), fds + 4); /* numbers are used again */
    CHECK_EQ(plan->in_controller, DTM_EROLE);
    CHECK_EQ(command("accept %d", DTM_LISTENERS_MAX - 1), DTM_EINVAL);
    finish();
    CHECK_EQ(shared->result.reloads, 6);
}

/* More than there may be at a time. */
static void numbers_are_used_again(void)
{
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    for (int i = 0; i < DTM_LISTENERS_MAX + 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        want(3, unix_place(name));
        CHECK_EQ(command("reload"), DTM_OK);
        answers(3);
        answers(1);
    }
    finish();
}

/* Questions that wait at each place that is about to be removed. */
enum { WAITING = 30 };

static void what_waits_is_served(bool by_the_old)
{
    int fds[2 * WAITING], busy[3], many = 0;
    struct service service = with_plan(3);
    service.config.accept_tokens = 3;
    four_places();
    start_in_mode(&service);
    for (int i = 0; i < 3; i++) { /* who is blocked takes no more */
        say(busy[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    for (int i = 0; i < WAITING; i++) {
        say(fds[many++] = dial_at(1), "who");
        say(fds[many++] = dial_at(3), "who");
    }
    want(1, "");
    want(3, "");
    CHECK_EQ(command("reload"), DTM_OK);
    if (!by_the_old) /* but for what the master had given them before */
        WAIT(answered(fds, many) >= many - 3 * mode->ahead);
    SET(shared->unblock, 1);
    for (int i = 0; i < many; i++) {
        CHECK(hear(fds[i]));
        hang_up(fds[i]);
    }
    for (int i = 0; i < 3; i++)
        hang_up(busy[i]);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    answers(2);
    finish();
}

static void by_the_old_generation(void)
{
    what_waits_is_served(true);
}

static void by_the_new_one_if_the_old_hangs(void)
{
    what_waits_is_served(false);
}

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

/* The removed one was the only TCP listener, or comes to be. */
static void the_first_and_the_last(void)
{
    struct service service = with_plan(2);
    service.listen[0] = NULL;
    want(3, unix_place("old"));
    if (mode->number == DTM_ACCEPT_STEER || mode->number == DTM_ACCEPT_HASH)
        service.config.accept_mode = DTM_ACCEPT_AUTO; /* there is nothing to steer yet */
    start(&service);
    answers(3);
    for (int i = 0; i < 3; i++) {
        want(1, "127.0.0.2:0");
        CHECK_EQ(command("reload"), DTM_OK);
        answers(1);
        answers(3);
        want(1, "");
        CHECK_EQ(command("reload"), DTM_OK);
        answers(3);
    }
    finish();
}

static const struct test tests[] = {
    {"added and removed under load", added_and_removed_under_load},
    {"numbers are used again", numbers_are_used_again},
    {"by the old generation", by_the_old_generation},
    {"by the new one if the old hangs", by_the_new_one_if_the_old_hangs},
    {"an address in use", an_address_in_use},
    {"a reload that fails later", a_reload_that_fails_later},
    {"tag and mode change", tag_and_mode_change},
    {"the backlog changes", the_backlog_changes},
    {"loadconf changes none", loadconf_changes_none},
    {"the first and the last", the_first_and_the_last},
};

MODES_MAIN(tests)
