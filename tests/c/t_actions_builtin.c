/*
 * The ready-made actions, and what is told of actions to who subscribes.
 * flow: C11
 */
#include "actions.h"
#include "console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_config(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0);
    fclose(file);
}

static bool config_says(const char *path, const char *text)
{
    char line[256] = "";
    FILE *file = fopen(path, "re");
    CHECK(file && fgets(line, sizeof line, file));
    fclose(file);
    return strstr(line, text) != NULL;
}

/* dtm-rollout: a good file stays, one that the service refuses is taken back. */
static void rollout(void)
{
    static char config[160], fresh[160];
    struct service service = acting_service();
    snprintf(config, sizeof config, "%s/config", scratch());
    snprintf(fresh, sizeof fresh, "%s/fresh", scratch());
    write_config(config, "# the first\n[dtm]\ndrain_timeout = 20s\n");
    service.config.config_file = config;
    start(&service);
    write_config(fresh, "# the second\n[dtm]\ndrain_timeout = 10s\n");
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "dtm-rollout %s 1", fresh);
    CHECK(config_says(config, "second"));
    WAIT(count_open(2) == 3 && count_open(0) == 3);

    /* A setting that cannot be read. */
    write_config(fresh, "# the third\n[dtm]\ndrain_timeout = never\n");
    id = begin_until(DTM_INSTANCE_FAILED, "dtm-rollout %s 1", fresh);
    CHECK(config_says(config, "second"));
    CHECK(serves());

    /* A generation that comes up and then dies. */
    write_config(fresh, "# the fourth\n[dtm]\ndrain_timeout = 5s\n");
    int reloads = shared->reloads;
    id = begin_action("dtm-rollout %s 60", fresh);
    WAIT(shared->reloads == reloads + 1 && count_open(0) == 3);
    CHECK(config_says(config, "fourth"));
    WAIT(action_of(id)->phase == 2 && action_of(id)->step >= 3);
    end_kid(nth_open(0), SIGKILL);
    WAIT_STATE(id, DTM_INSTANCE_FAILED);
    CHECK(config_says(config, "second"));
    WAIT(count_open(0) == 3);

    /* The controller dies in the middle of one. */
    write_config(fresh, "# the fifth\n[dtm]\ndrain_timeout = 6s\n");
    id = begin_action("dtm-rollout %s 2", fresh);
    WAIT(action_of(id)->phase == 2);
    end_kid(controller(), SIGKILL);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK(config_says(config, "fifth"));
    CHECK_EQ(command("action dtm-nosuch"), DTM_EINVAL);
    finish();
    unlink(config);
    unlink(fresh);
    remove_store();
}

/* With the ready-made console. */
static struct service acting_console(void)
{
    struct service service = acting_service(), with = a_console();
    service.callbacks = with.callbacks;
    return service;
}

static uint64_t console_starts(const char *words)
{
    const char *answer;
    WAIT((answer = console_says("ACTIONS START %s", words)) && answer[0] == ':');
    return strtoull(answer + 1, NULL, 10);
}

/* dtm-restart: every worker is another one, one after the other: never more than one is
 * missing, and no client is lost. */
static void restart(void)
{
    start_acting();
    struct kid *first[3];
    for (uint32_t i = 0; i < 3; i++)
        first[i] = nth_open(i);
    struct load *load = load_start(2);
    WAIT(GET(load->answered) > 0);
    uint64_t id = begin_action("dtm-restart");
    while (GET(action_of(id)->state) != DTM_INSTANCE_DONE) {
        CHECK(GET(action_of(id)->state) != DTM_INSTANCE_PARKED);
        CHECK_LE(2, count_open(0));
        usleep(1000);
    }
    for (int i = 0; i < 3; i++) {
        WAIT(has(first[i], DTM_EVENT_EXIT));
        CHECK_EQ(first[i]->status, 0);
    }
    CHECK_EQ(count_open(0), 3);
    CHECK_EQ(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 3);
    load_stop(load);
    finish_acting();
}

/* The controller dies in the middle: who is through is not replaced once more. */
static void restart_goes_on(void)
{
    start_acting();
    SET(shared->update_agains, 1 << 30); /* the replacement does not come up */
    uint64_t id = begin_action("dtm-restart");
    WAIT(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER) == 1);
    end_kid(controller(), SIGKILL);
    SET(shared->update_agains, 0);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    WAIT(count_open(0) == 3);
    CHECK_LE(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 4); /* one attempt twice */
    finish_acting();
}

/* A replacement that is late: said so, and when it has come at last, so goes the rest. */
static void restart_waits(void)
{
    struct service service = acting_service();
    service.config.start_timeout_ms = 300;
    start(&service);
    SET(shared->update_agains, 1 << 30);
    uint64_t id = begin_action("dtm-restart");
    WAIT(logged("the last replacement is not open in start_timeout") > 0);
    SET(shared->update_agains, 0);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK_EQ(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 3);
    WAIT(count_open(0) == 3);
    finish_acting();
}

/* Parked for that, and resumed: it waits for the replacement again, and does not go on
 * without it. */
static void restart_is_resumed(void)
{
    struct service service = acting_service();
    service.config.start_timeout_ms = 300;
    start(&service);
    SET(shared->update_agains, 1 << 30);
    uint64_t id = begin_until(DTM_INSTANCE_PARKED, "dtm-restart");
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_RESUME), DTM_OK);
    WAIT(action_of(id)->wait == DTM_WAIT_UPDATED);
    CHECK_EQ(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 1);
    SET(shared->update_agains, 0);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK_EQ(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 3);
    finish_acting();
}

/* dtm-recycle: the same again and again, until it is cancelled. */
static void recycle(void)
{
    start_acting();
    begin_until(DTM_INSTANCE_FAILED, "dtm-recycle");
    begin_until(DTM_INSTANCE_FAILED, "dtm-recycle soon");
    begin_until(DTM_INSTANCE_FAILED, "dtm-restart 5");
    CHECK_EQ(logged("'soon': dtm-recycle SECONDS"), 1);
    CHECK_EQ(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER), 0);
    uint64_t id = begin_action("dtm-recycle 1");
    WAIT(count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER) >= 7); /* the third round */
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_CANCEL), DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_CANCELLED);
    finish_acting();
}

static const char *hears(int fd, const char *text)
{
    for (int i = 0; i < 200; i++) {
        const char *message = reply(fd);
        CHECK(message);
        if (strstr(message, text))
            return message;
    }
    fail_at(__FILE__, __LINE__, "200 messages, none has %s", text);
}

/* Phases and operators' verbs, as messages of RESP2 and pushes of RESP3. */
static void told(void)
{
    struct service service = acting_console();
    start(&service);
    int two = console(), three = console();
    CHECK(begins(tell(two, "SUBSCRIBE action"), "[$subscribe, $action, :1]"));
    CHECK(begins(tell(three, "HELLO 3"), "{"));
    CHECK(begins(tell(three, "SUBSCRIBE action"), ">[$subscribe, $action, :1]"));
    uint64_t id = console_starts("steps go");
    char text[64];
    static const char *const said[] = {"started",
                                       "phase 0 (attempt 1) done",
                                       "phase 1 (attempt 1) done; it is waiting",
                                       "paused by an operator; it is paused",
                                       "resumed by an operator; it is waiting",
                                       "go, said an operator",
                                       "phase 2 (attempt 1) done; it is done"};
    static const char *const verbs[] = {NULL, NULL, "PAUSE", "RESUME", "GO", NULL, NULL};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        snprintf(text, sizeof text, "action %d steps: %s", (int)id, said[i]);
        CHECK(begins(hears(two, text), "[$message, $action, "));
        CHECK(begins(hears(three, text), ">[$message, $action, "));
        if (verbs[i])
            CHECK(begins(console_says("ACTIONS %s %d", verbs[i], (int)id), "+OK"));
    }
    id = console_starts("steps go");
    WAIT(begins(console_says("ACTIONS CANCEL %d", (int)id), "+OK"));
    snprintf(text, sizeof text, "action %d steps: cancelled by an operator", (int)id);
    hears(two, text);
    hears(three, text);
    hang_up(two), hang_up(three);
    finish_acting();
}

static const struct test tests[] = {
    {"dtm-rollout", rollout},
    {"dtm-restart", restart},
    {"dtm-restart goes on", restart_goes_on},
    {"dtm-restart waits", restart_waits},
    {"dtm-restart is resumed", restart_is_resumed},
    {"dtm-recycle", recycle},
    {"told to who subscribes", told},
};
TEST_MAIN(tests)
