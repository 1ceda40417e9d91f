/*
 * A client's life: first interest, steps, timeouts, drain, and one close with its reason.
 * flow: W5, W6, W8, W10, M1, L4, L13, L14, L15
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int closes(void)
{
    int sum = 0;
    for (int i = 0; i < REASONS; i++)
        sum += GET(shared->closed[i]);
    return sum;
}

/* Ends the service: every client that was opened has been closed, once. */
static void all_closed(void)
{
    finish();
    CHECK_EQ(closes(), shared->opened);
}

static void wait_closed(int fd, int reason, int count)
{
    CHECK(!hear(fd));
    WAIT(GET(shared->closed[reason]) == count);
    hang_up(fd);
}

static void close_reasons(void)
{
    struct service service = a_service();
    start(&service);
    int port = shared->port[0], fd;

    ask(fd = dial(port), "done");
    wait_closed(fd, DTM_CLOSE_DONE, 1);
    say(fd = dial(port), "error");
    wait_closed(fd, DTM_CLOSE_ERROR, 1);
    ask(fd = dial(port), "close");
    wait_closed(fd, DTM_CLOSE_ASKED, 1);
    ask(fd = dial(port), "timeout 20");
    wait_closed(fd, DTM_CLOSE_TIMEOUT, 1);
    SET(shared->open_says, -EPERM);
    wait_closed(dial(port), DTM_CLOSE_ERROR, 2);
    SET(shared->open_says, DTM_READ);
    who(fd = dial(port));
    hang_up(fd); /* the step sees the end of input and is done */
    WAIT(GET(shared->closed[DTM_CLOSE_DONE]) == 2);
    CHECK_EQ(closes(), 6);
    all_closed();
}

/* L13: the server speaks first. */
static void server_speaks_first(void)
{
    struct service service = a_service();
    start(&service);
    SET(shared->open_says, DTM_WRITE);
    int fd = dial(shared->port[0]);
    const char *first = hear(fd);
    CHECK(first && !strcmp(first, "hello"));
    CHECK(!strcmp(ask(fd, "echo x"), "x"));
    hang_up(fd);
    all_closed();
}

/* Requests in pieces, several in one packet, and half of one at the end. */
static void pieces(void)
{
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    for (const char *c = "echo slow\n"; *c; c++) {
        int steps = GET(shared->steps);
        CHECK_EQ(send(fd, c, 1, MSG_NOSIGNAL), 1);
        WAIT(GET(shared->steps) > steps);
    }
    CHECK(!strcmp(hear(fd), "slow"));
    say(fd, "echo 1\necho 2\necho 3");
    CHECK(!strcmp(hear(fd), "1") && !strcmp(hear(fd), "2") && !strcmp(hear(fd), "3"));
    CHECK_EQ(send(fd, "echo nev", 8, MSG_NOSIGNAL), 8);
    hang_up(fd);
    WAIT(closes() == 1);
    all_closed();
}

/* M1: several listeners of every kind; each client knows its own. */
static void listeners(void)
{
    char address[3][128];
    struct service service = a_service();
    snprintf(address[0], sizeof address[0], "unix:%s/service", scratch());
    service.listen[1] = address[0];
    service.listen[2] = "[::1]:0";
    service.listen[3] = "*:0";
    start(&service);
    CHECK_EQ(shared->port[1], 0);
    snprintf(address[1], sizeof address[1], "[::1]:%d", shared->port[2]);
    snprintf(address[2], sizeof address[2], "[::1]:%d", shared->port[3]);

    int fd[5] = {dial(shared->port[0]), dial_address(address[0]), dial_address(address[1]),
                 dial(shared->port[3]), dial_address(address[2])};
    static const char *tags[] = {"0 100", "1 101", "2 102", "3 103", "3 103"};
    static const char *peers[] = {"127.0.0.1:", "unix", "[::1]:", "127.0.0.1:", "[::1]:"};
    for (int i = 0; i < 5; i++) {
        CHECK(!strcmp(ask(fd[i], "tag"), tags[i]));
        const char *peer = ask(fd[i], "peer"); /* IPv4 in IPv6 is shown as IPv4 */
        CHECK(!strncmp(peer, peers[i], strlen(peers[i])));
        hang_up(fd[i]);
    }
    all_closed();
}

/* L14: a client without activity is closed; one with activity is not. */
static void idle_timeout(void)
{
    struct service service = a_service();
    service.config.client_timeout_ms = 300;
    start(&service);
    int quiet = dial(shared->port[0]), lively = dial(shared->port[0]);
    ask(lively, "timeout 60000"); /* its own, longer one */
    who(quiet);
    wait_closed(quiet, DTM_CLOSE_TIMEOUT, 1);
    who(lively);
    CHECK_EQ(GET(shared->closed[DTM_CLOSE_TIMEOUT]), 1);
    hang_up(lively);
    all_closed();
}

/* A client that keeps talking is never idle, however often the timeout has passed. */
static void activity_starts_the_timeout_anew(void)
{
    struct service service = a_service();
    service.config.client_timeout_ms = 1000;
    start(&service);
    int fd = dial(shared->port[0]);
    for (uint64_t end = now_ms() + 2500; now_ms() < end;) {
        who(fd);
        observe(10); /* talks often, but does not keep the CPU busy */
    }
    CHECK_EQ(GET(shared->closed[DTM_CLOSE_TIMEOUT]), 0);
    wait_closed(fd, DTM_CLOSE_TIMEOUT, 1);
    all_closed();
}

/* L15: at a drain idle ones go at once, busy ones get DTM_DRAIN once, and finish. */
static void drain(void)
{
    struct service service = a_service();
    service.config.workers = 1;
    start(&service);
    int idle = dial(shared->port[0]), busy = dial(shared->port[0]),
        deaf = dial(shared->port[0]);
    who(idle);
    ask(busy, "busy");
    say(deaf, "wait");
    struct kid *kid = nth_open(0);
    WAIT(GET(shared->steps) >= 3);
    CHECK_EQ(command("reload"), DTM_OK);
    wait_closed(idle, DTM_CLOSE_DRAIN, 1);
    WAIT(GET(shared->drains) == 2);
    CHECK_EQ(atoi(ask(busy, "draining")), 1); /* answered, and idle now */
    wait_closed(busy, DTM_CLOSE_DRAIN, 2);
    CHECK(runs(kid->pid));
    CHECK_EQ(kid->drains, 1);
    hang_up(deaf);
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(GET(shared->drains), 2);
    all_closed();
}

static void drain_deadline(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = 100;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "busy");
    CHECK_EQ(command("reload"), DTM_OK);
    wait_closed(fd, DTM_CLOSE_DEADLINE, 1);
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(kid->status, 0); /* it left by itself */
    all_closed();
}

/* A request that arrived before the drain is answered before an idle client is closed. */
static void request_before_the_drain(void)
{
    struct service service = a_service();
    service.config.workers = 1;
    start(&service);
    int idle = dial(shared->port[0]), blocker = dial(shared->port[0]);
    who(idle), who(blocker);
    struct kid *kid = nth_open(0);
    say(blocker, "block");
    WAIT(shared->blocked == 1);
    say(idle, "echo last words");
    kill(kid->pid, SIGTERM);
    SET(shared->unblock, 1);
    const char *words = hear(idle);
    CHECK(words && !strcmp(words, "last words"));
    CHECK(!hear(idle));
    hang_up(idle), hang_up(blocker);
    WAIT(has(kid, DTM_EVENT_EXIT) && count_open(0) == 1);
    CHECK_EQ(kid->status, 0);
    all_closed();
}

/* The peer resets, or hangs up before it was accepted: counted, closed, no harm. */
static void resets(void)
{
    struct service service = a_service();
    start(&service);
    struct linger linger = {.l_onoff = 1};
    for (int i = 0; i < 300; i++) {
        int fd = dial(shared->port[0]);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        if (i % 3 == 1)
            say(fd, "who");
        if (i % 3 == 2)
            who(fd);
        hang_up(fd);
    }
    CHECK(serves());
    CHECK_EQ(count_open(1), 3);
    all_closed();
    CHECK_EQ(shared->result.deaths, 0);
}

/* Full workers leave clients in the kernel's queue, and take them when there is room. */
static void full(void)
{
    struct service service = a_service();
    service.config.workers = 2;
    service.config.max_clients = 3;
    start(&service);
    int fd[8], left = 0;
    for (int i = 0; i < 8; i++)
        say(fd[i] = dial(shared->port[0]), "who");
    WAIT(count_answered(fd, 8) == 6); /* any: each worker has a queue of its own */
    CHECK_EQ(GET(shared->opened), 6);
    for (int i = 0; left < 2; i++)
        if (has_answer(fd[i])) {
            hang_up(fd[i]);
            fd[i] = fd[left++];
        }
    for (int i = 2; i < 8; i++)
        CHECK(hear(fd[i]));
    for (int i = 2; i < 8; i++)
        hang_up(fd[i]);
    all_closed();
}

static const struct test tests[] = {
    {"each close has its reason", close_reasons},
    {"the server speaks first", server_speaks_first},
    {"requests in pieces", pieces},
    {"listeners of every kind", listeners},
    {"idle timeout", idle_timeout},
    {"activity starts the timeout anew", activity_starts_the_timeout_anew},
    {"drain: idle, busy", drain},
    {"drain deadline", drain_deadline},
    {"a request that came before the drain", request_before_the_drain},
    {"peers that reset", resets},
    {"full workers", full},
};
TEST_MAIN(tests)
