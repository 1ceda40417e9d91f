/*
 * More workers than wait at one socket, in every accept mode: in token and shared they
 * wait in groups, each at a socket of its own, and the kernel spreads clients over those.
 * No group's clients may wait while another group has nothing to do. A01, A10, B05, F01
 * flow: M5, M11, L5
 */
#include "modes.h"

#include <stdio.h>

/* A group has room for 16, see src/accept/pool.rs. */
enum { WORKERS = 18, GROUP = 16, MANY = 120 };

static struct crowd crowd;

static void begin(void)
{
    struct service service = in_mode(WORKERS);
    service.config.max_processes = 64;
    start_in_mode(&service);
    CHECK(schedule().queues >= (mode->number == DTM_ACCEPT_TOKEN ? 2 : 1));
}

/* Each group has its tokens from the start, also one that comes later: nobody has to see
 * first that clients wait there. */
static void without_the_master(void)
{
    if (mode->number == DTM_ACCEPT_PASS || mode->number == DTM_ACCEPT_LOCK)
        return; /* it takes part */
    struct service service = in_mode(GROUP - 2);
    service.config.max_processes = 64;
    start_in_mode(&service);
    for (int workers = GROUP + 2; workers < 4 * GROUP; workers += GROUP) {
        CHECK_EQ(command("scale %d", workers), DTM_OK);
        WAIT((int)count_open(0) == workers);
        CHECK_EQ(kill(shared->host, SIGSTOP), 0);
        WAIT(state_of(shared->host) == 'T');
        come(&crowd, MANY);
        CHECK_EQ(kill(shared->host, SIGCONT), 0);
    }
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* From outside there is no telling who waits together, so those that could are taken in
 * turn: a whole group is always among them. */
enum half { FIRST, LAST, EVEN, ODD, HALVES };

static bool is_in(enum half half, uint32_t n)
{
    switch (half) {
    case FIRST: return n < GROUP;
    case LAST: return n >= WORKERS - GROUP;
    case EVEN: return n % 2 == 0;
    default: return n % 2 == 1;
    }
}

/* All are answered before `back` lets the others go on. */
static void served_by_the_others(void (*back)(enum half), enum half half)
{
    int fds[MANY];
    call(fds, MANY);
    WAIT(count_answered(fds, MANY) == MANY);
    back(half);
    hear_all(fds, MANY, NULL);
    settle(&crowd);
}

static void go_on(enum half half)
{
    for (uint32_t n = 0; n < WORKERS; n++)
        if (is_in(half, n))
            kill(nth_open(n)->pid, SIGCONT);
}

/* A10: stopped ones, a whole group among them. */
static void stopped(void)
{
    begin();
    for (enum half half = FIRST; half < HALVES; half++) {
        for (uint32_t n = 0; n < WORKERS; n++)
            if (is_in(half, n))
                stop_kid(nth_open(n));
        served_by_the_others(go_on, half);
    }
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

static void unblock(enum half half)
{
    (void)half;
    SET(shared->unblock, 1);
}

/* Blocked in a step: the kernel knows, the master sees it by what is not served. */
static void blocked(void)
{
    if (!mode->all)
        return; /* there is one queue, and no telling whom clients meet */
    begin();
    meet_all(&crowd); /* to keep each at work with */
    for (enum half half = FIRST; half < HALVES; half++) {
        int asked = 0;
        SET(shared->unblock, 0);
        SET(shared->blocked, 0);
        for (uint32_t n = 0; n < WORKERS; n++) {
            if (!is_in(half, n))
                continue;
            say(connection_of(&crowd, nth_open(n)), "block");
            asked++;
            WAIT(GET(shared->blocked) == asked);
        }
        served_by_the_others(unblock, half);
        for (uint32_t n = 0; n < WORKERS; n++)
            if (is_in(half, n))
                CHECK(hear(connection_of(&crowd, nth_open(n))));
    }
    all_leave(&crowd);
}

static void with_room(enum half half)
{
    for (uint32_t n = 0; n < WORKERS; n++)
        if (is_in(half, n))
            limit_files(nth_open(n)->pid, UINT64_MAX);
}

/* B05: without descriptors. They are as good as full, and find that out one by one. */
static void without_descriptors(void)
{
    begin();
    for (enum half half = FIRST; half < HALVES; half++) {
        for (uint32_t n = 0; n < WORKERS; n++)
            if (is_in(half, n))
                limit_files(nth_open(n)->pid, 3);
        served_by_the_others(with_room, half);
    }
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* A01: dead, and nobody comes back. */
static void killed(enum half half)
{
    int fds[MANY];
    struct kid *dead[WORKERS];
    int count = 0;
    begin();
    CHECK_EQ(command("nofork 0"), DTM_OK);
    for (uint32_t n = 0; n < WORKERS; n++)
        if (is_in(half, n))
            dead[count++] = nth_open(n);
    for (int i = 0; i < count; i++)
        kill(dead[i]->pid, SIGKILL);
    call(fds, MANY);
    hear_all(fds, MANY, NULL);
    for (int i = 0; i < count; i++)
        WAIT(has(dead[i], DTM_EVENT_EXIT));
    finish();
    CHECK_EQ(shared->result.deaths, count);
}

static void first_killed(void)
{
    killed(FIRST);
}

static void last_killed(void)
{
    killed(LAST);
}

static void others_killed(void)
{
    killed(ODD);
}

/* New generations, fewer and more workers than one group, and back, under load. */
static void changes(void)
{
    static const uint32_t sizes[] = {3, GROUP, GROUP + 1, 2 * GROUP + 1, 1};
    begin();
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        /* A reload brings back the number that is configured. */
        uint32_t workers = i % 2 ? WORKERS : sizes[i / 2];
        CHECK_EQ(i % 2 ? command("reload") : command("scale %u", workers), DTM_OK);
        WAIT(count_open(0) == workers && count_role(DTM_ROLE_WORKER) == workers);
        int before = GET(load->answered);
        WAIT(GET(load->answered) > before + 40);
    }
    load_stop(load);
    lost_nothing(load);
    if (mode->all)
        meet_all(&crowd);
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"without the master", without_the_master},
    {"stopped, a group among them", stopped},
    {"blocked, a group among them", blocked},
    {"without descriptors, a group among them", without_descriptors},
    {"the first are killed", first_killed},
    {"the last are killed", last_killed},
    {"every other one is killed", others_killed},
    {"resizes and reloads", changes},
};
MODES_MAIN(tests)
