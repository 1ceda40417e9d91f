/*
 * The service changes under load, in every accept mode, and nobody outside notices:
 * new generations, more and fewer workers, more and fewer tokens. A2, D14, E05
 * flow: M17, W4, L15
 */
#include "modes.h"

#include <stdio.h>

enum { WORKERS = 3, MANY = 12 };

static struct crowd crowd;

/* So many more answers, and then the next thing. */
static void carry_on(struct load *load, int more)
{
    int before = GET(load->answered);
    WAIT(GET(load->answered) > before + more);
}

static void leave(struct load *load)
{
    if (load) {
        load_stop(load);
        lost_nothing(load);
    }
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

static void reloads(void)
{
    struct service service = in_mode(WORKERS);
    start(&service);
    size_t fds = 0;
    struct load *load = load_start(4);
    for (uint32_t generation = 2; generation <= 11; generation++) {
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK_EQ(count_open(generation), WORKERS);
        WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
        carry_on(load, 20);
        if (generation == 3)
            fds = count_fds(shared->host); /* by now both halves of the slots had workers */
    }
    WAIT(count_fds(shared->host) <= fds); /* a client may be on its way through the master */
    leave(load);
    CHECK_EQ(shared->result.reloads, 10);
}

/* E05: a request that was sent on an idle connection before the old generation was
 * told to drain is answered; other idle connections end without a reset. */
static void idle_at_a_reload(void)
{
    struct service service = in_mode(WORKERS);
    start(&service);
    come(&crowd, MANY);
    const struct kid *old[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
    for (int i = 0; i < WORKERS; i++)
        stop_kid(old[i]);
    for (int i = 0; i < MANY; i += 2)
        say(crowd.fd[i], "who");
    CHECK_EQ(command("reload"), DTM_OK);
    for (int i = 0; i < WORKERS; i++)
        kill(old[i]->pid, SIGCONT);
    for (int i = 0; i < MANY; i++) {
        const char *answer = hear(crowd.fd[i]);
        CHECK_EQ(answer != NULL, i % 2 == 0);
        CHECK(!answer || !hear(crowd.fd[i]));
    }
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
    part(&crowd, NULL);
    come(&crowd, 2);
    CHECK_EQ(who(crowd.fd[0]).generation, 2);
    leave(NULL);
}

/* A2, and up again. */
static void resizes(void)
{
    struct service service = in_mode(4);
    service.config.max_processes = 24;
    start(&service);
    struct load *load = load_start(4);
    for (int i = 0; i < 20; i++) {
        uint32_t workers = i % 2 ? 4 : 8;
        CHECK_EQ(command("scale %u", workers), DTM_OK);
        WAIT(count_open(0) == workers && count_role(DTM_ROLE_WORKER) == workers);
        carry_on(load, 20);
    }
    leave(load);
}

/* What is open at a resize stays with those that stay, and those that come take part. */
static void resized_shares(void)
{
    struct service service = in_mode(3);
    service.config.max_processes = 24;
    start(&service);
    come(&crowd, 12);
    CHECK_EQ(command("scale 6"), DTM_OK);
    WAIT(count_open(0) == 6);
    come(&crowd, 24);
    if (mode->even)
        stays_even(&crowd);
    for (int i = 0; i < crowd.size; i++)
        CHECK_EQ(who(crowd.fd[i]).pid, crowd.kid[i]->pid);
    CHECK_EQ(command("scale 2"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 2);
    const struct kid *left[2] = {nth_open(0), nth_open(1)};
    for (int i = 0; i < crowd.size; i++) {
        if (crowd.kid[i] == left[0] || crowd.kid[i] == left[1])
            CHECK_EQ(who(crowd.fd[i]).pid, crowd.kid[i]->pid);
        else
            CHECK(!hear(crowd.fd[i]));
    }
    leave(NULL);
}

/* The number of tokens, in those modes that have any. */
static void tokens(void)
{
    struct service service = in_mode(WORKERS);
    start(&service);
    struct load *load = load_start(4);
    come(&crowd, 6);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(command("tokens %d", 1 + i * 3 % 8), DTM_OK);
        carry_on(load, 20);
        CHECK_EQ(who(crowd.fd[i % 6]).pid, crowd.kid[i % 6]->pid);
    }
    CHECK_EQ(command("tokens 65"), DTM_EINVAL);
    CHECK_EQ(command("tokens 0"), DTM_OK); /* the default */
    leave(load);
}

/* All at once: a worker dies, another one is stopped, a generation follows. */
static void everything(void)
{
    struct service service = in_mode(4);
    service.config.max_processes = 32;
    start(&service);
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < 6; i++) {
        struct kid *stopped = nth_open(i % 4), *dead = nth_open((i + 1) % 4);
        stop_kid(stopped);
        kill(dead->pid, SIGKILL);
        WAIT(has(dead, DTM_EVENT_EXIT));
        CHECK_EQ(command("reload"), DTM_OK);
        kill(stopped->pid, SIGCONT);
        WAIT(count_open(0) == 4 && count_role(DTM_ROLE_WORKER) == 4);
        carry_on(load, 20);
    }
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->wrong, 0);
    CHECK_LE(load->reset + load->lost, 6 * 4); /* inside of those that were killed */
    finish();
}

static const struct test tests[] = {
    {"10 reloads under load", reloads},     {"idle at a reload", idle_at_a_reload},
    {"20 resizes under load", resizes},     {"resized shares", resized_shares},
    {"20 token counts under load", tokens}, {"everything at once", everything},
};
MODES_MAIN(tests)
