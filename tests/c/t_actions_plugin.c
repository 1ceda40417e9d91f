/*
 * A store of the service's own that answers later: while the gate is shut, no call has a
 * result, and the controller serves on.
 * flow: C12
 */
#include "memory.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static void serves_meanwhile(void)
{
    struct service service = with_memory(600 * 1000);
    start(&service);
    check_promise(begin_until(DTM_INSTANCE_DONE, "careful"), 4);
    shut();
    int operator= ask_command("action steps");
    WAIT(command("pid") == controller()->pid);
    struct kid *kid = nth_open(0);
    end_kid(kid, SIGKILL);
    WAIT(has(kid, DTM_EVENT_EXIT) && count_open(0) == 3); /* its successor is up to date */
    CHECK(serves());
    CHECK_EQ(command("store"), DTM_OK);
    struct pollfd fd = {operator, POLLIN, 0};
    CHECK_EQ(poll(&fd, 1, 0), 0);
    open_again();
    const char *answer = hear(operator);
    CHECK(answer);
    uint64_t id = strtoull(answer, NULL, 10);
    hang_up(operator);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
    CHECK_EQ(memory->given_up, 0);
    CHECK_EQ(memory->opened, 1);
    finish();
}

/* It is given up at its deadline, said, and tried again; nothing is lost or doubled. */
static void given_up(void)
{
    struct service service = with_memory(300);
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    shut();
    CHECK(command("verb %d %d", (int)id, DTM_VERB_GO) < 0);
    WAIT(command("store") == -ETIMEDOUT);
    CHECK(strstr(detail, "no answer in store_timeout"));
    CHECK_EQ(command("action steps"), -ETIMEDOUT);
    CHECK(serves());
    WAIT(GET(memory->given_up) >= 2);
    CHECK_EQ(effects_of(id, 2), 0);
    open_again();
    WAIT(command("store") == DTM_OK);
    let_go(id);
    CHECK_EQ(shared->controller_inits, 1);
    finish();
}

/* A write is done, and its answer does not come: read again before anything else. */
static void answer_lost(void)
{
    struct service service = with_memory(300);
    start(&service);
    WAIT(command("store") == DTM_OK);
    int lost = 0;
    for (int nth = 1; nth <= 8; nth++) {
        int before = GET(memory->given_up);
        uint64_t id = begin_action("careful wait 100");
        SET(memory->late, nth);
        WAIT(GET(memory->given_up) > before || GET(action_of(id)->state) == DTM_INSTANCE_DONE);
        SET(memory->late, 0);
        if (!is_open()) {
            open_again();
            lost++;
        }
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        check_promise(id, 4);
    }
    CHECK_LE(4, lost);
    CHECK_LE(1, logged("DB_UNKNOWN"));
    finish();
}

/* A callback has run, and what it came to is not stored: it is another attempt that runs it
 * again, however often that happens. */
static void transition_lost(void)
{
    static const int codes[] = {-EBUSY, 0};
    struct service service = with_memory(300);
    start(&service);
    for (int i = 0; i < 2; i++) {
        uint64_t id = begin_action("steps pending");
        WAIT(effects_of(id, 1) == 1);
        int opened = GET(memory->opened);
        SET(memory->refuse, codes[i]);
        SET(memory->refuse_nth, 1);
        CHECK_EQ(command("wake %d 0", (int)id), DTM_OK);
        if (codes[i] == 0) { /* no answer */
            WAIT(GET(memory->given_up) > 0);
            open_again();
            WAIT(GET(memory->opened) > opened);
        }
        WAIT(effects_of(id, 1) == 3);
        CHECK_EQ(nth_effect(id, 2)->attempt, 1);
        CHECK_EQ(nth_effect(id, 2)->resumed, 1);
        CHECK_EQ(nth_effect(id, 3)->attempt, 2);
        CHECK_EQ(nth_effect(id, 3)->resumed, 0);
        WAIT(command("wake %d 0", (int)id) == DTM_OK);
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        check_promise(id, 3);
    }
    finish();
}

/* The controller is killed while a call is under way; the service ends while one is. */
static void killed_meanwhile(void)
{
    struct service service = with_memory(600 * 1000);
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    shut();
    int operator= ask_command("action steps");
    int calls = GET(memory->calls);
    WAIT(command("pid") == controller()->pid && GET(memory->calls) >= calls);
    end_kid(controller(), SIGKILL);
    hang_up(operator);
    WAIT(GET(memory->opened) == 2);
    CHECK(command("store") < 0); /* being opened */
    open_again();
    WAIT(command("store") == DTM_OK);
    let_go(id);
    shut();
    operator= ask_command("action steps");
    WAIT(command("pid") == controller()->pid);
    hang_up(operator); /* else the drain waits for its answer */
    finish();
    open_again();
}

static const struct test tests[] = {
    {"serves meanwhile", serves_meanwhile}, {"given up", given_up},
    {"an answer is lost", answer_lost},     {"a transition is lost", transition_lost},
    {"killed meanwhile", killed_meanwhile},
};
TEST_MAIN(tests)
