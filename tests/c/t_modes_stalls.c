/*
 * Workers that stand still, in every accept mode: the others serve, and afterwards
 * they take part again. A10, F02, F03
 * flow: L5, L12
 */
#include "modes.h"

#include <stdio.h>

enum { WORKERS = 3, MANY = 24 };

static struct crowd crowd;

/* All of them are answered while workers stand still. */
static void served_meanwhile(void)
{
    int fds[MANY];
    call(fds, MANY);
    WAIT(count_answered(fds, MANY) == MANY);
    hear_all(fds, MANY, NULL);
}

/* A10: all but one are stopped, in turn: whoever holds what there is to hold is
 * among them. Back again, they disturb nobody. */
static void stopped(void)
{
    struct service service = in_mode(WORKERS);
    service.config.accept_tokens = 1;
    start(&service);
    CHECK(serves());
    for (uint32_t left = 0; left < WORKERS; left++) {
        for (uint32_t i = 0; i < WORKERS; i++)
            if (i != left)
                stop_kid(nth_open(i));
        served_meanwhile();
        for (uint32_t i = 0; i < WORKERS; i++)
            kill(nth_open(i)->pid, SIGCONT);
        settle(&crowd);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        joins_in(&crowd, nth_open(i));
    if (mode->even)
        stays_even(&crowd);
    part(&crowd, NULL);
    settle(&crowd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* F02: stopped and back many times under load: what one of them gives back or takes
 * too late is somebody else's by then. Each load process may have one in there. */
static void stopped_under_load(void)
{
    struct service service = in_mode(WORKERS);
    start(&service);
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < 12; i++) {
        const struct kid *kid = nth_open(i % WORKERS);
        stop_kid(kid);
        served_meanwhile();
        kill(kid->pid, SIGCONT);
        int before = GET(load->answered);
        WAIT(GET(load->answered) > before + 20);
    }
    load_stop(load);
    lost_nothing(load);
    settle(&crowd);
    for (uint32_t i = 0; i < WORKERS; i++)
        joins_in(&crowd, nth_open(i));
    part(&crowd, NULL);
    settle(&crowd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* L12: client work is done without the turn. All but one are blocked in a step. */
static void blocked(void)
{
    int block[WORKERS - 1];
    struct service service = in_mode(WORKERS);
    service.config.accept_tokens = 1;
    start(&service);
    for (int i = 0; i < WORKERS - 1; i++) {
        say(block[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    served_meanwhile();
    served_meanwhile();
    SET(shared->unblock, 1);
    hear_all(block, WORKERS - 1, NULL);
    settle(&crowd);
    finish();
}

/* All of them are: what has come meanwhile is served when they are back. */
static void all_blocked(void)
{
    int block[WORKERS], waiting[MANY];
    struct service service = in_mode(WORKERS);
    start(&service);
    for (int i = 0; i < WORKERS; i++) {
        say(block[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    call(waiting, MANY);
    observe(50); /* the master looks at the queue: nobody can be given a turn */
    CHECK_EQ(count_answered(waiting, MANY), 0);
    CHECK_EQ(GET(shared->opened), WORKERS);
    SET(shared->unblock, 1);
    hear_all(waiting, MANY, NULL);
    hear_all(block, WORKERS, NULL);
    settle(&crowd);
    finish();
}

/* F03: much comes while a worker is stopped, more than a channel has room for. The
 * master goes on: it serves through the others, answers, and forks. */
static void the_master_never_waits(void)
{
    int fds[300];
    struct service service = in_mode(2);
    start(&service);
    const struct kid *kid = nth_open(0), *other = nth_open(1);
    stop_kid(kid);
    stop_kid(other);
    call(fds, 300);
    CHECK_EQ(command("scale 3"), DTM_OK);
    WAIT(count_open(1) == 3);
    WAIT(count_answered(fds, 300) == 300);
    kill(kid->pid, SIGCONT);
    kill(other->pid, SIGCONT);
    hear_all(fds, 300, NULL);
    settle(&crowd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"all but one stopped", stopped},
    {"stopped and back under load", stopped_under_load},
    {"all but one blocked", blocked},
    {"all blocked for a while", all_blocked},
    {"the master never waits", the_master_never_waits},
};
MODES_MAIN(tests)
