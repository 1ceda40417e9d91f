/*
 * The accept mode changes while the service runs: no connection is lost, and what
 * cannot be had changes nothing.
 * flow: M5, M15, M16, L3
 */
#include "modes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of more than GROUP, see src/accept/pool.rs, not all wait at one socket. */
enum { WORKERS = 4, GROUP = 16, FEWER = 14, MORE = 20, MANY = 12, QUEUE = 60, MODES = 6 };

static uint32_t workers = WORKERS;
static struct crowd crowd;
static struct load *load;

static const char *const names[] = {"auto", "token", "steer", "hash", "shared", "pass", "lock"};

/* The modes that can be had here, DTM_ACCEPT_*. */
static uint32_t modes[MODES];
static int mode_count;

static struct service a_switching_service(void)
{
    for (uint32_t number = DTM_ACCEPT_TOKEN; number <= DTM_ACCEPT_LOCK; number++)
        if (number != DTM_ACCEPT_STEER || may_steer())
            modes[mode_count++] = number;
    struct service service = a_service();
    service.config.workers = workers;
    service.config.max_processes = 48;
    service.config.accept_mode = modes[0];
    return service;
}

static void begin(void)
{
    struct service service = a_switching_service();
    start(&service);
}

static void carry_on(int more)
{
    int before = GET(load->answered);
    WAIT(GET(load->answered) > before + more);
}

/* Modes in which all of a group wait at one socket. */
static bool has_groups(uint32_t number)
{
    return number == DTM_ACCEPT_TOKEN || number == DTM_ACCEPT_SHARED;
}

/* The mode is in force, serves, and left the open connections where they were. */
static void serves_in(uint32_t number)
{
    dtm_accept_t now = schedule();
    CHECK_EQ(now.mode, number);
    CHECK_EQ(now.workers, workers);
    if (has_groups(number))
        CHECK_EQ(now.queues, (workers + GROUP - 1) / GROUP);
    if (load)
        carry_on(20);
    for (int i = 0; i < crowd.size; i++)
        CHECK_EQ(who(crowd.fd[i]).pid, crowd.kid[i]->pid);
}

static void switch_to(uint32_t number)
{
    CHECK_EQ(command("mode %u", number), DTM_OK);
    serves_in(number);
}

/* All workers are blocked and clients wait at every socket, when this is commanded. The
 * crowd has met all of them. */
static void command_with_a_queue(const char *what, uint32_t number)
{
    int block[MORE], fds[QUEUE];
    SET(shared->unblock, 0);
    SET(shared->blocked, 0);
    for (uint32_t w = 0; w < workers; w++)
        say(block[w] = connection_of(&crowd, nth_open(w)), "block");
    WAIT(GET(shared->blocked) == (int)workers);
    call(fds, QUEUE);
    CHECK_EQ(command("%s %u", what, number), DTM_OK);
    SET(shared->unblock, 1);
    hear_all(fds, QUEUE, NULL);
    for (uint32_t w = 0; w < workers; w++)
        CHECK(hear(block[w]));
}

static void switch_with_a_queue(uint32_t number)
{
    command_with_a_queue("mode", number);
    serves_in(number);
}

static void resize_with_a_queue(uint32_t number)
{
    const struct kid *kids[MORE];
    uint32_t before = workers;
    for (uint32_t w = 0; w < before; w++)
        kids[w] = nth_open(w);
    command_with_a_queue("scale", number);
    workers = number;
    WAIT(count_open(0) == workers && count_role(DTM_ROLE_WORKER) == workers);
    for (uint32_t w = 0; w < before; w++)
        if (has(kids[w], DTM_EVENT_EXIT))
            part(&crowd, kids[w]);
}

/* From each mode to each other one, and back to the first. */
static void through_every_pair(void (*change)(uint32_t number))
{
    for (int i = 0; i + 1 < mode_count; i++) {
        for (int j = i + 2; j < mode_count; j++) {
            change(modes[j]);
            change(modes[i]);
        }
        change(modes[i + 1]);
    }
    for (int i = mode_count - 1; i > 0; i--)
        change(modes[i - 1]);
    CHECK_EQ(schedule().switches, mode_count * (mode_count - 1));
}

static void end_load(void)
{
    load_stop(load);
    lost_nothing(load);
    load = NULL;
}

static void leave(void)
{
    if (load)
        end_load();
    part(&crowd, NULL);
    settle(&crowd);
    finish();
}

static void every_pair_under_load(void)
{
    begin();
    load = load_start(3);
    come(&crowd, MANY);
    through_every_pair(switch_to);
    switch_to(modes[0]); /* no change */
    CHECK_EQ(schedule().switches, mode_count * (mode_count - 1));
    end_load();
    settle(&crowd);
}

static void every_pair(void)
{
    every_pair_under_load();
    stays_even(&crowd);
    leave();
    CHECK_EQ(shared->result.deaths, 0);
}

static void every_pair_in_groups(void)
{
    workers = MORE;
    every_pair_under_load();
    meet_all(&crowd);
    leave();
    CHECK_EQ(shared->result.deaths, 0);
}

/* A second group comes and goes: what waits at its socket goes to the first. */
static void through_the_size_of_a_group(void)
{
    workers = FEWER;
    begin();
    load = load_start(3);
    meet_all(&crowd);
    for (int i = 1; i < mode_count; i++) {
        for (int n = 0; n < 2; n++) {
            resize_with_a_queue(MORE);
            serves_in(modes[0]);
            meet_all(&crowd);
            if (n == 1)
                switch_to(modes[i]);
            resize_with_a_queue(FEWER);
            serves_in(modes[n * i]);
        }
        switch_to(modes[0]);
    }
    leave();
    CHECK_EQ(shared->result.deaths, 0);
}

static const char *config_with(const char *accept_mode)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/test.conf", scratch());
    FILE *f = fopen(path, "we");
    CHECK(f);
    fprintf(f, "[dtm]\naccept_mode = %s\n", accept_mode);
    fclose(f);
    return path;
}

/* By the configuration, which wins over what was commanded before it was loaded. */
static void by_configuration(void)
{
    struct service service = a_switching_service();
    service.config.config_file = config_with("lock");
    start(&service);
    serves_in(DTM_ACCEPT_LOCK);
    load = load_start(3);
    come(&crowd, MANY);
    for (int i = 0; i < 20; i++) {
        uint32_t number = modes[(i * 5 + 1) % mode_count];
        config_with(names[number]);
        CHECK_EQ(command(i % 4 ? "loadconf" : "reload"), DTM_OK);
        if (i % 4 == 0) {
            WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
            part(&crowd, NULL);
            come(&crowd, MANY);
        }
        serves_in(number);
        if (i % 3 == 0)
            switch_to(DTM_ACCEPT_SHARED);
    }
    leave();
    unlink(service.config.config_file);
}

static void with_a_queue(void)
{
    begin();
    meet_all(&crowd);
    through_every_pair(switch_with_a_queue);
    leave();
}

static void with_queues_of_groups(void)
{
    workers = MORE;
    with_a_queue();
}

/* A stopped worker holds no change up, and comes back in the new mode. */
static void with_a_stopped_worker(void)
{
    begin();
    for (int i = 1; i <= mode_count; i++) {
        int fds[MANY];
        struct kid *kid = nth_open((uint32_t)i % WORKERS);
        stop_kid(kid);
        CHECK_EQ(command("mode %u", modes[i % mode_count]), DTM_OK);
        call(fds, MANY);
        WAIT(count_answered(fds, MANY) >= MANY - 1); /* pass: one may be with it */
        kill(kid->pid, SIGCONT);
        hear_all(fds, MANY, NULL);
        if (modes[i % mode_count] != DTM_ACCEPT_LOCK)
            joins_in(&crowd, kid);
        part(&crowd, NULL);
        settle(&crowd);
    }
    leave();
}

/* A worker dies at each change. */
static void with_deaths(void)
{
    begin();
    load = load_start(4);
    for (int i = 1; i <= 2 * mode_count; i++) {
        struct kid *kid = nth_open((uint32_t)i % WORKERS);
        kill(kid->pid, SIGKILL);
        CHECK_EQ(command("mode %u", modes[i % mode_count]), DTM_OK);
        WAIT(has(kid, DTM_EVENT_EXIT) && count_open(1) == WORKERS);
        carry_on(20);
    }
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->wrong, 0);
    CHECK_LE(load->reset + load->lost, 2 * mode_count * 4);
    finish();
}

/* What cannot be had changes nothing, by command or by configuration. */
static void refused(void)
{
    struct service service = a_switching_service();
    service.config.config_file = config_with("shared");
    service.before = become_nobody;
    start(&service);
    load = load_start(2);
    come(&crowd, MANY);
    serves_in(DTM_ACCEPT_SHARED);
    if (getuid() == 0 || !may_steer()) {
        CHECK_EQ(command("mode %d", DTM_ACCEPT_STEER), DTM_EFAILED);
        CHECK(strstr(detail, "steer"));
        serves_in(DTM_ACCEPT_SHARED);
        config_with("steer");
        CHECK(command("loadconf") < 0);
        serves_in(DTM_ACCEPT_SHARED);
    }
    CHECK_EQ(command("mode %d", DTM_ACCEPT_LOCK + 1), DTM_EINVAL);
    serves_in(DTM_ACCEPT_SHARED);
    CHECK_EQ(schedule().switches, 0);
    leave();
    unlink(service.config.config_file);
}

/* Refused at the start: nothing is forked. */
static void refused_at_the_start(void)
{
    struct service service = a_service();
    service.config.accept_mode = DTM_ACCEPT_STEER;
    service.before = become_nobody;
    if (getuid() != 0 && may_steer())
        return;
    launch(&service);
    refused_with("steer");
}

/* auto is the best that can be had, and says once which and why. */
static void chosen(bool privileged)
{
    struct service service = a_service();
    service.config.log_level = DTM_LOG_INFO;
    service.before = privileged ? NULL : become_nobody;
    start(&service);
    bool steers = may_steer() && (privileged || getuid() != 0);
    dtm_accept_t now = schedule();
    CHECK_EQ(now.wanted, DTM_ACCEPT_AUTO);
    CHECK_EQ(now.mode, steers ? DTM_ACCEPT_STEER : DTM_ACCEPT_TOKEN);
    CHECK_EQ(logged("auto"), 1);
    CHECK_EQ(logged(steers ? "steer" : "token"), 1);
    CHECK(serves());
    finish();
}

static void by_auto(void)
{
    chosen(true);
    chosen(false);
}

static const struct test tests[] = {
    {"every pair of modes", every_pair},
    {"every pair of modes, in groups", every_pair_in_groups},
    {"through the size of a group", through_the_size_of_a_group},
    {"by configuration", by_configuration},
    {"with a queue", with_a_queue},
    {"with a queue of each group", with_queues_of_groups},
    {"with a stopped worker", with_a_stopped_worker},
    {"with deaths", with_deaths},
    {"what cannot be had changes nothing", refused},
    {"refused at the start", refused_at_the_start},
    {"auto", by_auto},
};
TEST_MAIN(tests)
