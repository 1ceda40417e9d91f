/*
 * Who gets how many, in every accept mode.
 * flow: M5, W6
 */
#include "modes.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static struct crowd crowd;

static void spread_out(void)
{
    if (mode->even)
        return stays_even(&crowd);
    come(&crowd, 40); /* of those at once one worker may have been too quick to take all */
    if (mode->all)
        all_have_some(&crowd);
}

static void leave(void)
{
    tell_shares(&crowd);
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* M5: long-lived connections, one after the other. */
static void one_by_one(void)
{
    struct service service = in_mode(4);
    start(&service);
    come(&crowd, 60);
    spread_out();
    leave();
}

static void in_a_burst(void)
{
    int fds[60];
    struct service service = in_mode(4);
    start(&service);
    call(fds, 60);
    hear_all(fds, 60, &crowd);
    spread_out();
    leave();
}

/* It goes past one that does not run; that one catches up afterwards. */
static void a_burst_past_a_stopped_worker(void)
{
    int fds[60];
    struct service service = in_mode(4);
    start(&service);
    struct kid *stopped = nth_open(2);
    stop_kid(stopped);
    call(fds, 60);
    WAIT(count_answered(fds, 60) == 60);
    kill(stopped->pid, SIGCONT);
    hear_all(fds, 60, &crowd);
    CHECK_EQ(share(&crowd, stopped), 0);
    joins_in(&crowd, stopped);
    spread_out();
    leave();
}

/* All connections of half of the workers end, others come. */
static void after_churn(void)
{
    struct service service = in_mode(4);
    start(&service);
    come(&crowd, 60);
    for (uint32_t i = 0; i < 2; i++)
        part(&crowd, nth_open(i));
    settle(&crowd);
    come(&crowd, 30);
    spread_out();
    leave();
}

/* More workers than a group of token holders can have: all take part. */
static void twenty_workers(void)
{
    struct service service = in_mode(20);
    start(&service);
    for (int i = 0; i < 4 && crowd.size < 400; i++)
        come(&crowd, 100);
    if (mode->all)
        all_have_some(&crowd);
    leave();
}

/* A1: 8 workers, short connections (DTM_TEST_MANY of them): all are served, none is
 * counted twice, and no worker gets much more than its part. */
static void short_connections(void)
{
    const char *text = getenv("DTM_TEST_MANY");
    int many = text ? atoi(text) : 10000;
    int most = 0, least = INT_MAX, sum = 0;
    struct service service = in_mode(8);
    start(&service);
    struct load *load = load_start(4);
    for (int some = 0; some < many; some += 5000)
        WAIT(GET(load->answered) >= some);
    WAIT(GET(load->answered) >= many);
    load_stop(load);
    lost_nothing(load);
    fprintf(stderr, "# %s:", mode->name);
    for (uint32_t i = 0; i < 8; i++) {
        int count = nth_open(i)->opened;
        fprintf(stderr, " %d", count);
        most = count > most ? count : most;
        least = count < least ? count : least;
        sum += count;
    }
    fprintf(stderr, ", the most by the mean: %.2f\n", 8.0 * most / sum);
    CHECK_EQ(sum, load->answered);
    CHECK(!mode->all || least > 0);
    CHECK(8.0 * most / sum <= mode->skew);
    settle(&crowd);
    finish();
}

/* The stats agree with what the connections say. */
static void stats_are_true(void)
{
    struct service service = in_mode(3);
    start_in_mode(&service);
    come(&crowd, 40);
    part(&crowd, crowd.kid[0]);
    settle(&crowd);
    int most = 0, least = CROWD;
    for (uint32_t i = 0; i < 3; i++) {
        int count = share(&crowd, nth_open(i));
        most = count > most ? count : most;
        least = count < least ? count : least;
    }
    WAIT(schedule().waiting_ms == 0); /* some had to wait for a moment */
    dtm_accept_t now = shared->accept;
    CHECK_EQ(now.wanted, mode->number);
    CHECK_EQ(now.workers, 3);
    CHECK_EQ(now.willing, 3);
    CHECK_EQ(now.accepted, 40);
    CHECK_EQ(now.load_max, most);
    CHECK_EQ(now.load_min, least);
    CHECK_EQ(now.skew, crowd.size ? 3000 * most / crowd.size : 1000);
    CHECK_EQ(now.waiting_ms, 0);
    CHECK_EQ(shared->worker_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *kid = kid_of(shared->worker[i].spawn);
        CHECK_EQ(shared->worker[i].load, share(&crowd, kid));
        CHECK_EQ(shared->worker[i].clients, share(&crowd, kid));
        CHECK_EQ(shared->worker[i].accepted, kid->opened);
    }
    leave();
}

/* A worker that says it is busy gets none but those it was armed for. */
static void a_load_of_its_own(void)
{
    struct service service = in_mode(4);
    start(&service);
    if (!mode->even)
        return leave();
    int fd = dial_worker(nth_open(1));
    ask(fd, "load 1000");
    join(&crowd, fd);
    settle(&crowd);
    come(&crowd, 40);
    CHECK_LE(share(&crowd, nth_open(1)), 1 + 2);
    char text[32];
    snprintf(text, sizeof text, "load %u", (uint32_t)DTM_OFF);
    ask(fd, text);
    settle(&crowd);
    stays_even(&crowd);
    leave();
}

/* accept_load = busy: idle connections weigh nothing, busy ones do. */
static void busy_clients_count(void)
{
    struct service service = in_mode(4);
    service.config.accept_load = DTM_LOAD_BUSY;
    start(&service);
    if (!mode->even)
        return leave();
    come(&crowd, 40);
    struct kid *kid = nth_open(2);
    for (int i = 0; i < crowd.size; i++)
        if (crowd.kid[i] == kid)
            ask(crowd.fd[i], "busy");
    int before = share(&crowd, kid);
    CHECK(before >= 5);
    settle(&crowd);
    come(&crowd, 40);
    CHECK_LE(share(&crowd, kid), before + 2);
    leave();
}

static const struct test tests[] = {
    {"one by one", one_by_one},
    {"in a burst", in_a_burst},
    {"a burst past a stopped worker", a_burst_past_a_stopped_worker},
    {"after churn", after_churn},
    {"20 workers", twenty_workers},
    {"short connections", short_connections},
    {"the stats are true", stats_are_true},
    {"a load of the service's own", a_load_of_its_own},
    {"busy clients count", busy_clients_count},
};
MODES_MAIN(tests)
