/*
 * The accept mode changes while the service runs: no connection is lost, and what
 * cannot be had changes nothing.
 * flow: M5, M15, M16, L3
 */
#include "modes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, MANY = 12, MODES = 6 };

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
    service.config.workers = WORKERS;
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

/* The mode is in force, serves, and left the open connections where they were. */
static void serves_in(uint32_t number)
{
    dtm_accept_t now = schedule();
    CHECK_EQ(now.mode, number);
    CHECK_EQ(now.workers, WORKERS);
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

/* From each mode to each other one. */
static void every_pair(void)
{
    begin();
    load = load_start(3);
    come(&crowd, MANY);
    for (int i = 0; i + 1 < mode_count; i++) {
        for (int j = i + 2; j < mode_count; j++) {
            switch_to(modes[j]);
            switch_to(modes[i]);
        }
        switch_to(modes[i + 1]);
    }
    for (int i = mode_count - 1; i > 0; i--)
        switch_to(modes[i - 1]);
    CHECK_EQ(schedule().switches, mode_count * (mode_count - 1));
    switch_to(modes[0]); /* no change */
    CHECK_EQ(schedule().switches, mode_count * (mode_count - 1));
    end_load();
    settle(&crowd);
    stays_even(&crowd);
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

/* All workers are blocked and connections wait, when the mode changes. */
static void with_a_queue(void)
{
    begin();
    for (int i = 0; i < mode_count; i++) {
        int block[WORKERS], fds[MANY];
        SET(shared->unblock, 0);
        SET(shared->blocked, 0);
        for (int w = 0; w < WORKERS; w++) {
            say(block[w] = dial(shared->port[0]), "block");
            WAIT(GET(shared->blocked) == w + 1);
        }
        call(fds, MANY);
        CHECK_EQ(command("mode %u", modes[(i + 1) % mode_count]), DTM_OK);
        SET(shared->unblock, 1);
        hear_all(fds, MANY, NULL);
        hear_all(block, WORKERS, NULL);
        settle(&crowd);
    }
    leave();
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
        WAIT(answered(fds, MANY) >= MANY - 1); /* pass: one may be with it */
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
    {"by configuration", by_configuration},
    {"with a queue", with_a_queue},
    {"with a stopped worker", with_a_stopped_worker},
    {"with deaths", with_deaths},
    {"what cannot be had changes nothing", refused},
    {"refused at the start", refused_at_the_start},
    {"auto", by_auto},
};
TEST_MAIN(tests)
