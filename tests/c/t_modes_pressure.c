/*
 * Workers that are to get no client, in every accept mode: not open yet, draining, hung, and
 * all of them at once, when the queue waits and that is told. And whoever holds a lock of the
 * service's own while it accepts and serves. L1
 * flow: M5, W4, L5, L15
 */
#include "modes.h"
#include "worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 3, MANY = 24 };

static struct crowd crowd;

/* A worker at its gate: it is ready, and the controller has not brought it up to date. */
static void not_open(void)
{
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    SET(shared->health_fails, 1000000);
    int operator= ask_command("scale 4");
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == WORKERS + 1);
    struct kid *shut = kid_of(shared->last_spawn);
    come(&crowd, MANY);
    CHECK_EQ(share(&crowd, shut), 0);
    CHECK_EQ(schedule().workers, WORKERS);
    SET(shared->health_fails, 0);
    CHECK_EQ(command_answer(operator), DTM_OK);
    WAIT(count_open(1) == WORKERS + 1);
    joins_in(&crowd, shut);
    all_leave(&crowd);
}

/* Those of the old generation have clients that are busy, and go on to serve them. */
static void draining(void)
{
    struct crowd busy = {.size = 0};
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    for (int i = 0; i < 2 * WORKERS; i++) {
        come(&busy, 1);
        ask(busy.fd[i], "busy");
    }
    CHECK_EQ(command("reload"), DTM_OK);
    come(&crowd, MANY);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(crowd.kid[i]->generation, 2);
    for (int i = 0; i < busy.size; i++)
        CHECK(!strcmp(ask(busy.fd[i], "echo still here"), "still here"));
    part(&busy, NULL);
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* One hangs in a step until it is found, killed and replaced: nobody else's client waits,
 * and its successor takes part. */
static void hung(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    service.config.hang_timeout_ms = 1500;
    service.config.kill_grace_ms = 100;
    start_in_mode(&service);
    come(&crowd, 1);
    struct kid *kid = crowd.kid[0];
    say(crowd.fd[0], "block");
    WAIT(GET(shared->blocked) == 1);
    call(fds, MANY);
    WAIT(count_answered(fds, MANY) == MANY);
    WAIT(has(kid, DTM_EVENT_EXIT) && count_open(1) == WORKERS);
    for (int i = 0; i < MANY; i++)
        CHECK(hear(fds[i])); /* passed to it and not taken: passed again */
    for (int i = 0; i < MANY; i++)
        hang_up(fds[i]);
    part(&crowd, NULL);
    joins_in(&crowd, kid_of(shared->last_spawn));
    part(&crowd, NULL);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static bool is_told(int depth)
{
    dtm_accept_t now = schedule();
    return (int)now.depth >= depth && now.waiting_ms > 0;
}

/* All stopped: nobody can be given anything; the queue waits, and that is told. */
static void all_stopped(void)
{
    int fds[MANY];
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    for (uint32_t i = 0; i < WORKERS; i++)
        stop_kid(nth_open(i));
    WAIT(schedule().willing == 0);
    call(fds, MANY);
    WAIT(is_told(MANY));
    WAIT(logged("clients wait: of 3 open workers 0 take clients"));
    for (uint32_t i = 0; i < WORKERS; i++)
        kill(nth_open(i)->pid, SIGCONT);
    hear_all(fds, MANY, NULL);
    WAIT(schedule().waiting_ms == 0);
    all_leave(&crowd);
}

/* All at work: they would take clients, and do not come to it. */
static void all_at_work(void)
{
    int block[WORKERS], fds[MANY];
    struct service service = in_mode(WORKERS);
    start_in_mode(&service);
    for (int i = 0; i < WORKERS; i++) {
        say(block[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    call(fds, MANY);
    WAIT(is_told(MANY - mode->ahead * WORKERS));
    WAIT(logged("take clients, and those are busy"));
    SET(shared->unblock, 1);
    hear_all(block, WORKERS, NULL);
    hear_all(fds, MANY, NULL);
    WAIT(schedule().waiting_ms == 0);
    all_leave(&crowd);
}

static dtm_lock_t *lock;

static void setup(dtm_t *rt)
{
    CHECK_EQ(dtm_lock_register(rt, "table", &lock), DTM_OK);
}

static int32_t on_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                          size_t size)
{
    (void)rt, (void)client;
    if (!strcmp(line, "take"))
        snprintf(reply, size, "%d", dtm_lock_take(lock, DTM_OFF));
    else if (!strcmp(line, "give"))
        snprintf(reply, size, "%d", dtm_lock_give(lock));
    else
        return NOT_MINE;
    return DTM_READ;
}

static dtm_client_open_cb open_client;

/* In the middle of accepting: each new client is entered into a table of all workers. */
static int32_t locked_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    int32_t code = dtm_lock_take(lock, DTM_OFF);
    CHECK(code == DTM_OK || code == DTM_LOCK_RECOVERED);
    if (code == DTM_LOCK_RECOVERED)
        ADD(shared->custom[1], 1);
    if (take(&shared->custom[0])) {
        ADD(shared->custom[2], 1);
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(dtm_lock_give(lock), DTM_OK);
    return open_client(rt, client, user_data);
}

/* L1: killed again and again with the lock in its hand, in the middle of accepting and while it
 * serves: the others, who all need it for their next client, go on, and nobody else dies. */
static void owners_killed(void)
{
    enum { KILLS = 12 };
    struct service service = in_mode(WORKERS);
    service.setup = setup;
    service.request = on_request;
    open_client = service.callbacks.client_open;
    service.callbacks.client_open = locked_open;
    start_in_mode(&service);
    struct load *load = load_start(4);
    for (int i = 1; i <= KILLS; i++) {
        SET(shared->custom[0], 1);
        WAIT(GET(shared->custom[2]) == i);
        WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) == (uint32_t)i);
        WAIT(count_open(1) == WORKERS);
        int before = GET(load->answered);
        WAIT(GET(load->answered) > before + 20);
    }
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->wrong, 0);
    CHECK_LE(load->reset + load->lost, KILLS * 4);
    CHECK_EQ(shared->custom[1], KILLS); /* each time the next owner was told */
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    CHECK(!strcmp(ask(fd, "take"), "0"));
    end_kid(kid, SIGKILL); /* while it serves */
    hang_up(fd);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->custom[1], KILLS + 1);
    CHECK_EQ(shared->result.deaths, KILLS + 1);
}

static const struct test tests[] = {
    {"at its gate", not_open},
    {"draining", draining},
    {"hung", hung},
    {"all stopped", all_stopped},
    {"all at work", all_at_work},
    {"owners of a lock killed", owners_killed},
};
MODES_MAIN(tests)
