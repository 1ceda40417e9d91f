/*
 * Workers die, in every accept mode: nothing that they held is lost to the others,
 * and what waited for them is served. A01, F01, L1
 * flow: M11, L5
 */
#include "modes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 3, MANY = 12 };

/* L5, M11: whoever held what there is to hold is among the killed in two rounds of
 * three. Forking is forbidden, so nobody comes back. */
static void all_but_one(bool with_a_queue)
{
    for (uint32_t left = 0; left < WORKERS; left++) {
        int fds[MANY];
        struct crowd crowd = {.size = 0};
        struct service service = in_mode(WORKERS);
        service.config.accept_tokens = 1;
        start(&service);
        struct kid *kids[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
        CHECK(serves()); /* somebody has had the turn */
        CHECK_EQ(command("nofork 0"), DTM_OK);
        for (uint32_t i = 0; with_a_queue && i < WORKERS; i++)
            stop_kid(kids[i]);
        if (with_a_queue)
            call(fds, MANY);
        for (uint32_t i = 0; i < WORKERS; i++)
            if (i != left)
                kill(kids[i]->pid, SIGKILL);
        kill(kids[left]->pid, SIGCONT);
        if (!with_a_queue)
            call(fds, MANY);
        hear_all(fds, MANY, &crowd);
        CHECK_EQ(share(&crowd, kids[left]), MANY);
        part(&crowd, NULL);
        for (uint32_t i = 0; i < WORKERS; i++)
            WAIT(i == left || has(kids[i], DTM_EVENT_EXIT)); /* before they are told to end */
        finish();
        CHECK_EQ(shared->result.deaths, WORKERS - 1); /* it cost nobody else his life */
    }
}

static void killed(void)
{
    all_but_one(false);
}

/* What had come when they were killed was in the queue, their own or not, or had been
 * passed to them and not been taken. */
static void killed_with_a_queue(void)
{
    all_but_one(true);
}

/* They are stopped, clients come, they are killed: whoever follows has served all of those
 * when this returns. */
static void all_die_with_a_queue(struct kid *const *kids)
{
    int fds[MANY];
    for (uint32_t i = 0; i < WORKERS; i++)
        stop_kid(kids[i]);
    call(fds, MANY);
    for (uint32_t i = 0; i < WORKERS; i++)
        kill(kids[i]->pid, SIGKILL);
    hear_all(fds, MANY, NULL);
    for (uint32_t i = 0; i < WORKERS; i++)
        WAIT(has(kids[i], DTM_EVENT_EXIT));
    WAIT(count_open(1) == WORKERS);
}

/* All of them: the next ones serve what waits. */
static void all_killed_with_a_queue(void)
{
    struct service service = in_mode(WORKERS);
    start(&service);
    struct kid *kids[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
    all_die_with_a_queue(kids);
    finish();
    CHECK_EQ(shared->result.deaths, WORKERS);
}

/* The next processes that are forked get the numbers of the dead, if the kernel lets us say
 * so and nobody else forks at this moment. */
static dtm_event_cb tell;
static int lowest;

static void next_is_like_the_dead(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    char text[16];
    if (event->kind == DTM_EVENT_EXIT && event->role == DTM_ROLE_WORKER && event->pid > 1) {
        lowest = lowest == 0 || event->pid < lowest ? event->pid : lowest;
        int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
        int len = snprintf(text, sizeof text, "%d", lowest - 1);
        if (fd < 0 || write(fd, text, (size_t)len) != len)
            SET(shared->custom[0], 1);
        close(fd);
    }
    tell(rt, event, user_data);
}

static bool was_there(int pid, struct kid *const *kids)
{
    bool found = false;
    for (uint32_t i = 0; i < WORKERS; i++)
        found = found || kids[i]->pid == pid;
    return found;
}

/* F01: whoever has the pid of a dead holder holds nothing by that: it is a worker like any
 * other. */
static void successor_with_the_same_pid(void)
{
    int reused = 0;
    for (int round = 0; round < 20 && reused < 3; round++) {
        int fds[MANY];
        struct service service = in_mode(WORKERS);
        service.config.accept_tokens = 1;
        tell = service.callbacks.event;
        service.callbacks.event = next_is_like_the_dead;
        start(&service);
        struct kid *kids[WORKERS] = {nth_open(0), nth_open(1), nth_open(2)};
        CHECK(serves()); /* somebody has had the turn */
        all_die_with_a_queue(kids);
        for (uint32_t i = 0; i < WORKERS; i++)
            reused += was_there(nth_open(i)->pid, kids);
        call(fds, MANY);
        hear_all(fds, MANY, NULL);
        finish();
        CHECK_EQ(shared->result.deaths, WORKERS);
        if (GET(shared->custom[0])) {
            fprintf(stderr, "# not tested: the kernel does not let us choose a pid\n");
            return;
        }
    }
    CHECK(reused > 0);
}

/* Under load only requests inside of the killed worker may fail: of four clients
 * at most four each time. */
static void killed_under_load(void)
{
    enum { KILLS = 24 };
    struct service service = in_mode(WORKERS);
    start(&service);
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < KILLS; i++) {
        int before = GET(load->answered);
        end_kid(nth_open(i % WORKERS), SIGKILL);
        WAIT(count_open(1) == WORKERS);
        WAIT(GET(load->answered) > before + 10);
    }
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->wrong, 0);
    CHECK_LE(load->reset + load->lost, KILLS * 4);
    finish();
    CHECK_EQ(shared->result.deaths, KILLS);
}

/* Afterwards each worker, the new ones too, has its part. */
static void successors_take_part(void)
{
    struct crowd crowd = {.size = 0};
    struct service service = in_mode(4);
    start(&service);
    come(&crowd, 20);
    struct kid *dead[] = {nth_open(1), nth_open(2)};
    for (int i = 0; i < 2; i++)
        kill(dead[i]->pid, SIGKILL);
    WAIT(has(dead[0], DTM_EVENT_EXIT) && has(dead[1], DTM_EVENT_EXIT) && count_open(1) == 4);
    /* The dead did not get to say which of their clients they closed. */
    int gone = share(&crowd, dead[0]) + share(&crowd, dead[1]);
    part(&crowd, dead[0]), part(&crowd, dead[1]);
    WAIT(open_clients() == crowd.size + gone);
    come(&crowd, 60);
    if (mode->even)
        stays_even(&crowd);
    else if (mode->all)
        all_have_some(&crowd);
    part(&crowd, NULL);
    finish();
}

/* L1: it says that it is up to date and is dead before the master has heard that. What is
 * opened then is nobody's. */
static dtm_init_cb healthy;

static int32_t dies_up_to_date(dtm_t *rt, void *user_data)
{
    if (GET(shared->custom[0]) == 1) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
        struct itimerspec soon = {.it_value = {.tv_nsec = 50000000}};
        timer_t timer;
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        kill(getppid(), SIGSTOP);
        CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
        SET(shared->custom[0], getpid());
    }
    return healthy(rt, user_data);
}

static void dead_when_it_is_opened(void)
{
    struct crowd crowd = {.size = 0};
    struct service service = in_mode(WORKERS);
    service.config.respawn_delay_ms = service.config.respawn_delay_max_ms = 60000;
    healthy = service.callbacks.worker_health;
    service.callbacks.worker_health = dies_up_to_date;
    start(&service);
    SET(shared->custom[0], 1);
    kill(nth_open(0)->pid, SIGKILL);
    WAIT(GET(shared->custom[0]) > 1 && state_of(GET(shared->custom[0])) == 'Z');
    kill(shared->host, SIGCONT);
    WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) == 2);
    CHECK_EQ(schedule().willing, WORKERS - 1);
    come(&crowd, MANY);
    part(&crowd, NULL);
    finish();
    CHECK_EQ(shared->result.deaths, 2);
}

static const struct test tests[] = {
    {"all but one killed", killed},
    {"all but one killed with a queue", killed_with_a_queue},
    {"all killed with a queue", all_killed_with_a_queue},
    {"a successor with the same pid", successor_with_the_same_pid},
    {"killed under load", killed_under_load},
    {"successors take part", successors_take_part},
    {"dead when it is opened", dead_when_it_is_opened},
};
MODES_MAIN(tests)
