#define _GNU_SOURCE
/*
 * Clients that vanish, dawdle, or lose their worker; a worker that has gone mad.
 * faults: E01, E02, E07, F04, F07
 */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* E01: a request that comes byte by byte holds a drain up to its deadline, not longer. */
static void dawdler(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = 500;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "busy");
    CHECK_EQ(command("reload"), DTM_OK);
    for (int i = 0; !has(kid, DTM_EVENT_EXIT); i++) {
        send(fd, "x", 1, MSG_NOSIGNAL);
        observe(1);
        CHECK_LE(i, 30000);
    }
    CHECK_EQ(kid->status, 0);
    CHECK_EQ(shared->closed[DTM_CLOSE_DEADLINE], 1);
    hang_up(fd);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.killed, 0);
}

/* E02: the peer's machine is gone: no FIN, no RST ever. The idle timeout frees its place. */
static void vanished_peer(void)
{
    int on = 1;
    struct service service = a_service();
    service.config.client_timeout_ms = 300;
    service.config.max_clients = 1;
    service.config.workers = 1;
    start(&service);
    int fd = dial(shared->port[0]);
    who(fd);
    if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0)
        fprintf(stderr, "# not quite: %s\n", strerror(errno)); /* silent, but still there */
    else
        close(fd); /* without a word to the other side */
    int next = dial(shared->port[0]);
    CHECK_EQ(who(next).slot, nth_open(0)->slot); /* there is room for one only */
    CHECK_EQ(shared->closed[DTM_CLOSE_TIMEOUT], 1);
    hang_up(next);
    finish();
}

/* E07: who loses his worker is told so by the kernel, at once; nobody else notices. */
static void killed_with_clients(void)
{
    enum { CLIENTS = 60 };
    int fds[CLIENTS], lost = 0, owned = 0;
    struct kid *kids[CLIENTS];
    struct service service = a_service();
    start(&service);
    for (int i = 0; i < CLIENTS; i++)
        kids[i] = kid_at(fds[i] = dial(shared->port[0]));
    struct kid *dead = kids[CLIENTS / 2];
    end_kid(dead, SIGKILL);
    for (int i = 0; i < CLIENTS; i++) {
        if (kids[i] == dead) {
            owned++;
            lost += !hear(fds[i]);
        } else {
            CHECK_EQ(who(fds[i]).pid, kids[i]->pid);
        }
        hang_up(fds[i]);
    }
    CHECK(owned > 0);
    CHECK_EQ(lost, owned);
    CHECK_EQ(dead->opened, owned);
    WAIT(count_open(1) == 3);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

enum { SCRIBBLED, PROTECTED };

/* F04: write over all shared memory of libdtm's that this process can write, and try to get
 * at the rest of it. */
static void go_mad(unsigned char with)
{
    char line[256], rights[8];
    unsigned long long from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        if (!strstr(line, "memfd:dtm-") ||
            sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3)
            continue;
        void *memory = (void *)(uintptr_t)from;
        /* What the master publishes cannot be had back. The ban on forking can, as the
         * controller writes it; the master believes it only within limits. */
        bool writable = rights[1] == 'w';
        if (!writable && mprotect(memory, to - from, PROT_READ | PROT_WRITE) == 0) {
            CHECK(strstr(line, "memfd:dtm-nofork"));
            writable = true;
        }
        if (writable)
            memset(memory, with, to - from);
        ADD(shared->custom[writable ? SCRIBBLED : PROTECTED], 1);
    }
    if (maps)
        fclose(maps);
}

static int32_t mad_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                           size_t size)
{
    unsigned with;
    (void)rt, (void)client, (void)reply, (void)size;
    if (sscanf(line, "mad %u", &with) == 1) {
        go_mad((unsigned char)with);
        return NO_REPLY;
    }
    if (!strcmp(line, "last words")) {
        for (int i = 0; i < 3; i++)
            dtm_answer(rt, "farewell", 8);
        _exit(0);
    }
    return NOT_MINE;
}

static void mad_worker(void)
{
    static const unsigned with[] = {0, 0xff, 0x5a, 1, 0x80};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        char line[16];
        struct service service = a_service();
        service.request = mad_request;
        service.config.respawn_budget = DTM_OFF;
        start(&service);
        snprintf(line, sizeof line, "mad %u", with[i]);
        for (int round = 0; round < 3; round++) {
            int fd = dial(shared->port[0]), before = GET(shared->custom[SCRIBBLED]);
            struct kid *kid = kid_at(fd);
            say(fd, line);
            WAIT(GET(shared->custom[SCRIBBLED]) > before);
            kill(kid->pid, SIGKILL);
            WAIT(has(kid, DTM_EVENT_EXIT));
            hang_up(fd);
            WAIT(count_open(0) == 3 && controller());
            CHECK(serves());
        }
        CHECK(GET(shared->custom[PROTECTED]) >= 3 * 2); /* the table, the rules of accepting */
        CHECK_EQ(command("reload"), DTM_OK);            /* the master knows what it knew */
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        for (int n = 0; n < 20; n++)
            CHECK(serves());
        CHECK_EQ(logged("panic"), 0);
        kill(shared->host, SIGTERM);
        CHECK_EQ(wait_host(), 0);
        CHECK_EQ(shared->run_code, DTM_OK);
        check_no_survivors();
    }
}

/* F07: what a process said last, and its death, are found at once: the words come first. */
static void last_words(void)
{
    struct service service = a_service();
    service.request = mad_request;
    service.config.respawn_budget = DTM_OFF;
    start(&service);
    for (int i = 1; i <= 10; i++) {
        int fd = dial(shared->port[0]);
        struct kid *kid = kid_at(fd);
        kill(shared->host, SIGSTOP);
        WAIT(state_of(shared->host) == 'T');
        say(fd, "last words");
        WAIT(state_of(kid->pid) == 'Z');
        kill(shared->host, SIGCONT);
        WAIT(has(kid, DTM_EVENT_EXIT));
        WAIT(GET(shared->answers) == 3 * i);
        hang_up(fd);
        WAIT(count_open(1) == 3);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 10);
}

enum { TALKING = PROTECTED + 1 };

static int32_t talk(dtm_t *rt, dtm_client_t *client, const char *line, char *reply, size_t size)
{
    (void)client, (void)reply, (void)size;
    if (strcmp(line, "talk") != 0)
        return NOT_MINE;
    ADD(shared->custom[TALKING], 1);
    for (;;)
        dtm_extend(rt, 1);
}

/* Workers that talk to the master without an end: it goes on with everything else. */
static void talkers(void)
{
    struct service service = a_service();
    service.request = talk;
    service.config.drain_timeout_ms = 100;
    service.config.hang_timeout_ms = DTM_OFF;
    start(&service);
    int fds[3];
    for (uint32_t i = 0; i < 3; i++) {
        fds[i] = dial_worker(nth_open(i));
        say(fds[i], "talk");
    }
    WAIT(GET(shared->custom[TALKING]) == 3);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(command("reopen"), DTM_OK);
    kill(nth_open(0)->pid, SIGKILL);
    WAIT(count_open(1) == 3);
    kill(shared->host, SIGTERM);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->result.killed, 2);
    check_no_survivors();
    for (int i = 0; i < 3; i++)
        hang_up(fds[i]);
}

static const struct test tests[] = {
    {"a client that dawdles at a drain", dawdler},
    {"a peer that has vanished", vanished_peer},
    {"killed with clients", killed_with_clients},
    {"a mad worker writes over shared memory", mad_worker},
    {"last words and death at once", last_words},
    {"workers that do not stop talking", talkers},
};
TEST_MAIN(tests)
