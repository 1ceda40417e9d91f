#define _GNU_SOURCE
/*
 * The kernel refuses what accepting needs, in every accept mode. B06, B12
 * flow: L4, W6
 */
#include "inject.h"
#include "modes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORKERS = 3, MANY = 12 };

static const int calls[] = {SYS_accept4, SYS_epoll_ctl, SYS_sendmsg, -1};
static struct crowd crowd;

static void begin(void)
{
    struct service service = in_mode(WORKERS);
    inject_into(&service, calls);
    start_in_mode(&service);
}

static void all_take_part(void)
{
    inject(NULL);
    for (uint32_t i = 0; i < WORKERS; i++)
        joins_in(&crowd, nth_open(i));
    part(&crowd, NULL);
    settle(&crowd);
}

/* B06: errors that mean one connection, or nothing: it goes on, and they are counted. */
static void passing_errors(void)
{
    static const int errors[] = {ECONNABORTED, EPROTO,  EPERM,  EINTR, ENETDOWN,
                                 ETIMEDOUT,    ENOBUFS, ENOMEM, ENFILE};
    begin();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        int fds[MANY];
        uint64_t before = schedule().errors;
        inject(&(struct injection){.call = SYS_accept4, .error = errors[i], .times = 5});
        call(fds, MANY);
        hear_all(fds, MANY, NULL);
        uint32_t failed = injected();
        inject(NULL);
        CHECK(failed > 0);
        WAIT(schedule().errors >= before + failed); /* the controller's count, too */
        CHECK_LE(shared->accept.errors, before + failed);
    }
    all_take_part();
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* The listener is not what it was: that worker says so and leaves, the others serve. */
static void fatal_errors(void)
{
    static const int errors[] = {EBADF, EINVAL, ENOTSOCK};
    if (mode->number == DTM_ACCEPT_PASS)
        return; /* workers do not accept there, and the master has no other place to go */
    begin();
    for (int i = 0; i < 3; i++) {
        struct kid *kid = mode->all ? nth_open(0) : one_more(&crowd); /* who accepts */
        inject(&(struct injection){.call = SYS_accept4, .error = errors[i], .pid = kid->pid});
        while (!has(kid, DTM_EVENT_EXIT)) {
            /* It leaves at once, and does not tell of clients that it has not closed yet. */
            WAIT(open_clients() == crowd.size);
            come(&crowd, 1);
            part(&crowd, NULL);
        }
        CHECK_EQ(kid->status, DTM_EXIT_FDS << 8);
        inject(NULL);
        WAIT(count_open(1) == WORKERS);
    }
    CHECK(logged("leaving") >= 3);
    all_take_part();
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

/* Connections, each of them answered or hung up on; how many were answered. */
static int try(int many)
{
    int fds[64], count = 0;
    for (int i = 0; i < many; i++)
        say(fds[i] = dial(shared->port[0]), "who");
    for (int i = 0; i < many; i++) {
        count += hear(fds[i]) != NULL;
        hang_up(fds[i]);
    }
    return count;
}

/* B12: epoll has no room (fs.epoll.max_user_watches): a client that cannot be watched is
 * hung up on. Nobody waits for ever, nobody crashes, and it passes. */
static void full_epoll(pid_t pid, bool not_in)
{
    for (int times = 1; times <= 8; times++) {
        inject(&(struct injection){.call = SYS_epoll_ctl,
                                   .error = ENOSPC,
                                   .pid = pid,
                                   .not_in = not_in,
                                   .argument = 2,
                                   .value = EPOLL_CTL_ADD,
                                   .times = (uint32_t)times});
        int lost = 0;
        while (injected() < (uint32_t)times && lost < 1000)
            lost += 4 - try(4);
        CHECK_EQ(injected(), times);
        inject(NULL);
        CHECK_EQ(try(30), 30);
    }
}

static void full_epoll_in_workers(void)
{
    begin();
    full_epoll(shared->host, true);
    all_take_part();
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* And in the master, at each death and each birth. */
static void full_epoll_in_the_master(void)
{
    begin();
    for (uint32_t n = 0; n < 24; n++) {
        struct kid *dead = nth_open(n % WORKERS);
        inject(&(struct injection){.call = SYS_epoll_ctl,
                                   .error = ENOSPC,
                                   .pid = shared->host,
                                   .argument = 2,
                                   .value = EPOLL_CTL_ADD,
                                   .after = n / 2,
                                   .times = 3});
        end_kid(dead, SIGKILL);
        WAIT(count_open(1) == WORKERS);
        int answered = try(12);
        inject(NULL);
        CHECK_EQ(answered, 12); /* the workers' own epolls have room */
    }
    CHECK_EQ(try(60), 60);
    finish();
    CHECK_EQ(shared->result.deaths, 24);
}

/* And when more workers come than wait at one socket (16): in token and shared they have
 * another, which is looked after as soon as there is room. */
static void full_epoll_for_a_second_group(void)
{
    enum { FIRST = 14, ALL = 20, CALLS = 60 };
    int fds[CALLS];
    if (!mode->all)
        return; /* there is one queue, and no telling whom clients meet */
    struct service service = in_mode(FIRST);
    inject_into(&service, calls);
    start_in_mode(&service);
    inject(&(struct injection){.call = SYS_epoll_ctl,
                               .error = ENOSPC,
                               .pid = shared->host,
                               .argument = 2,
                               .value = EPOLL_CTL_ADD,
                               .times = 3});
    CHECK_EQ(command("scale %d", ALL), DTM_OK);
    WAIT(count_open(1) == ALL);
    CHECK_EQ(injected(), 3);
    inject(NULL);
    meet_all(&crowd);
    SET(shared->unblock, 0);
    for (uint32_t n = FIRST; n < ALL; n++)
        say(connection_of(&crowd, nth_open(n)), "block");
    WAIT(GET(shared->blocked) == ALL - FIRST);
    call(fds, CALLS);
    WAIT(count_answered(fds, CALLS) == CALLS);
    SET(shared->unblock, 1);
    hear_all(fds, CALLS, NULL);
    for (uint32_t n = FIRST; n < ALL; n++)
        CHECK(hear(connection_of(&crowd, nth_open(n))));
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* What the master has accepted and cannot pass on it keeps, and tries again now and then:
 * it has more to do than that. Found by the chaos test, by a worker that died meanwhile. */
static void nobody_to_pass_to(void)
{
    int fds[4];
    begin();
    uint64_t last = shared->last_spawn;
    inject(&(struct injection){.call = SYS_sendmsg, .error = ENOBUFS, .pid = shared->host});
    call(fds, 4);
    if (mode->number == DTM_ACCEPT_PASS)
        WAIT(injected() > 0);
    observe(300);
    CHECK_LE(injected(), 1000);
    end_kid(nth_open(0), SIGKILL); /* the master notices */
    WAIT(GET(shared->last_spawn) > last && has(kid_of(shared->last_spawn), DTM_EVENT_READY));
    observe(100); /* what is to be said of the new one is not lost: it can only be said later */
    inject(NULL);
    WAIT(count_open(1) == WORKERS);
    if (mode->number == DTM_ACCEPT_PASS) {
        hear_all(fds, 4, NULL);
    } else {
        for (int i = 0; i < 4; i++) /* some may have been that worker's */
            hang_up(fds[i]);
    }
    CHECK_EQ(try(30), 30);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static const struct test tests[] = {
    {"accept fails and goes on", passing_errors},
    {"accept fails for good", fatal_errors},
    {"epoll is full in the workers", full_epoll_in_workers},
    {"epoll is full in the master", full_epoll_in_the_master},
    {"epoll is full as a second group comes", full_epoll_for_a_second_group},
    {"nobody to pass to", nobody_to_pass_to},
};

int main(int argc, char **argv)
{
    if (!can_inject())
        return 77;
    return modes_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
