/*
 * The accept schedule: how each mode goes about what t_modes_*.c see from outside.
 * flow: M5, M11, L5, L12
 */
#include "modes.h"

#include <poll.h>
#include <stdio.h>

enum { WORKERS = 3, MANY = 24 };

static struct crowd crowd;

static struct service with(uint32_t accept_mode)
{
    struct service service = a_service();
    service.config.workers = WORKERS;
    service.config.accept_mode = accept_mode;
    return service;
}

static void leave(void)
{
    part(&crowd, NULL);
    settle(&crowd);
    finish();
}

/* Killed right after it has armed its successor, and before it has its client. */
static void killed_while_passing_the_token(void)
{
    for (int n = 1; n <= 5; n++) {
        char fault[64];
        struct service service = with(DTM_ACCEPT_TOKEN);
        snprintf(fault, sizeof fault, "token.armed=kill@%d", n);
        service.config.accept_tokens = 1;
        service.fault = fault;
        start(&service);
        /* Each dial may hit the worker that is killed; the next one is answered. */
        struct load *load = load_start(2);
        WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) == 1 && count_open(1) == 3);
        int before = GET(load->answered);
        WAIT(GET(load->answered) > before + 50);
        load_stop(load);
        CHECK_EQ(load->refused, 0);
        CHECK_LE(load->reset + load->lost, 2); /* at most those inside the killed worker */
        finish();
        CHECK_EQ(shared->result.deaths, 1);
    }
}

/* One token moves from worker to worker, and hardly a wake-up is for nothing. */
static void a_token_moves(void)
{
    struct service service = with(DTM_ACCEPT_TOKEN);
    service.config.accept_tokens = 1;
    start(&service);
    come(&crowd, 10 * WORKERS);
    dtm_accept_t now = schedule();
    CHECK(now.tokens >= 1);
    CHECK_LE(now.tokens, 1 + now.rescues); /* a slow machine looks like a busy holder */
    CHECK_EQ(now.queues, 1);
    CHECK(now.moves >= 9 * WORKERS);
    CHECK_LE(now.empty, WORKERS * (1 + now.rescues));
    leave();
}

/* Until each worker has a client: on a slow machine the first few may all be another's. */
static void come_to_each(void)
{
    for (uint32_t i = 0; i < WORKERS; i++)
        while (share(&crowd, nth_open(i)) == 0)
            come(&crowd, 1);
}

/* The holder of the only token is busy with an older client: one more is armed. In
 * two rounds of three it is among the blocked. */
static void a_busy_holder_gets_help(void)
{
    struct service service = with(DTM_ACCEPT_TOKEN);
    service.config.accept_tokens = 1;
    start(&service);
    come_to_each();
    for (uint32_t left = 0; left < WORKERS; left++) {
        int fds[MANY];
        SET(shared->unblock, 0);
        SET(shared->blocked, 0);
        for (uint32_t i = 0; i < WORKERS; i++)
            if (i != left)
                say(connection_of(&crowd, nth_open(i)), "block");
        WAIT(GET(shared->blocked) == WORKERS - 1);
        call(fds, MANY);
        WAIT(count_answered(fds, MANY) == MANY);
        SET(shared->unblock, 1);
        for (uint32_t i = 0; i < WORKERS; i++)
            if (i != left)
                CHECK(hear(connection_of(&crowd, nth_open(i))));
        hear_all(fds, MANY, NULL);
        settle(&crowd);
    }
    CHECK(schedule().rescues > 0);
    leave();
}

/* The connections that wait at a worker's own socket go to another when it is busy. */
static void a_queue_of_its_own(void)
{
    int fds[4 * MANY];
    struct service service = with(DTM_ACCEPT_HASH);
    start(&service);
    CHECK_EQ(schedule().queues, WORKERS);
    come(&crowd, 1);
    /* It may have been slow to take its client: then the hash leaves it out for a while. */
    for (int round = 0; schedule().passed == 0; round++) {
        CHECK_LE(round, 100);
        SET(shared->unblock, 0);
        SET(shared->blocked, 0);
        say(crowd.fd[0], "block");
        WAIT(GET(shared->blocked) == 1);
        call(fds, 4 * MANY);
        WAIT(count_answered(fds, 4 * MANY) == 4 * MANY);
        SET(shared->unblock, 1);
        CHECK(hear(crowd.fd[0]));
        hear_all(fds, 4 * MANY, NULL);
    }
    joins_in(&crowd, crowd.kid[0]);
    leave();
}

/* What a worker was passed and had not taken when it was killed is passed again. */
static void passed_again(void)
{
    int fds[MANY];
    struct service service = with(DTM_ACCEPT_PASS);
    service.config.accept_pass = DTM_PASS_ROTATE;
    start(&service);
    come_to_each();
    uint64_t before = schedule().passed;
    CHECK(before >= WORKERS);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    for (uint32_t i = 0; i < WORKERS; i++)
        say(connection_of(&crowd, nth_open(i)), "block");
    WAIT(GET(shared->blocked) == WORKERS);
    call(fds, MANY);
    WAIT(schedule().passed == before + WORKERS); /* one each */
    struct kid *kid = nth_open(1);
    stop_kid(kid); /* it does not see the end of its block */
    SET(shared->unblock, 1);
    kill(kid->pid, SIGKILL);
    for (int i = 0; i < MANY; i++)
        CHECK(hear(fds[i]));
    CHECK(schedule().repassed > 0);
    for (int i = 0; i < MANY; i++)
        hang_up(fds[i]);
    part(&crowd, NULL);
    finish();
}

/* A10: what a worker was passed and does not take another one serves. When that one is done
 * the client hears it, although the first still has its socket in its channel. */
static void taken_back(void)
{
    int fds[MANY];
    struct service service = with(DTM_ACCEPT_PASS);
    service.config.workers = 2;
    start(&service);
    come(&crowd, 1);
    say(crowd.fd[0], "block");
    WAIT(GET(shared->blocked) == 1);
    kill(shared->host, SIGSTOP); /* so that it finds all of them at once */
    for (int i = 0; i < MANY; i++)
        say(fds[i] = dial(shared->port[0]), "done");
    kill(shared->host, SIGCONT);
    for (int i = 0; i < MANY; i++) {
        CHECK(hear(fds[i]));
        CHECK(!hear(fds[i]));
        hang_up(fds[i]);
    }
    CHECK_EQ(schedule().repassed, 1); /* it gets no other before it has seen that */
    SET(shared->unblock, 1);
    CHECK(hear(crowd.fd[0]));
    joins_in(&crowd, crowd.kid[0]);
    CHECK_EQ(schedule().errors, 0);
    leave();
}

static int32_t polling_loop(dtm_t *rt, void *user_data)
{
    struct pollfd loop = {.fd = dtm_loop_fd(rt), .events = POLLIN};
    (void)user_data;
    while (dtm_loop_dispatch(rt, 0) == 0)
        poll(&loop, 1, -1);
    return 0;
}

/* A10: a worker that was slow between waking up and looking lost its token, and what would
 * have told it so was read in that very pass. It takes part again all the same. */
static void a_slow_one_comes_back(void)
{
    uint64_t rescues = 0;
    for (int n = 1; n <= 12; n++) {
        char fault[64];
        struct service service = with(DTM_ACCEPT_TOKEN);
        service.config.workers = 2;
        service.config.accept_tokens = 1;
        service.callbacks.worker_main = polling_loop;
        snprintf(fault, sizeof fault, "dispatch=sleep:50@%d", 20 + n);
        service.fault = fault;
        start(&service);
        come(&crowd, 20);
        rescues += schedule().rescues;
        joins_in(&crowd, nth_open(0));
        joins_in(&crowd, nth_open(1));
        leave();
    }
    CHECK(rescues > 0);
}

/* L5: the lock is taken from one that is stopped or dead, and that is told. */
static void the_lock_is_taken(void)
{
    struct service service = with(DTM_ACCEPT_LOCK);
    start(&service);
    /* Whoever holds it is among those that are stopped: if anybody does just then. F02: what
     * is given back late is nobody's loss, and counted. */
    for (int n = 0; n < WORKERS || schedule().late == 0; n++) {
        int fds[MANY];
        struct kid *kids[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
        CHECK_LE(n, 100);
        for (int i = 0; i < WORKERS; i++)
            if (i != n % WORKERS)
                stop_kid(kids[i]);
        call(fds, MANY);
        WAIT(count_answered(fds, MANY) == MANY);
        for (int i = 0; i < WORKERS; i++)
            kill(kids[i]->pid, SIGCONT);
        hear_all(fds, MANY, NULL);
    }
    CHECK_EQ(logged("the accept lock was taken"), schedule().rescues);
    settle(&crowd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"killed while it passes the token on", killed_while_passing_the_token},
    {"a token moves", a_token_moves},
    {"a busy holder gets help", a_busy_holder_gets_help},
    {"a slow one comes back", a_slow_one_comes_back},
    {"a queue of its own", a_queue_of_its_own},
    {"passed again", passed_again},
    {"taken back from a blocked one", taken_back},
    {"the lock is taken", the_lock_is_taken},
};
TEST_MAIN(tests)
