/*
 * Durable actions: phases in order, waits, ends, operators, and who dies meanwhile.
 * flow: C10, C11, C12, L18
 * Faults: G08 G11 G13, D07 from an action.
 */
#include "actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* C10, C11 */
static void phases_in_order(void)
{
    start_acting();
    uint64_t first = begin_action("steps"), second = begin_action("careful x");
    CHECK(second > first);
    WAIT_STATE(first, DTM_INSTANCE_DONE);
    WAIT_STATE(second, DTM_INSTANCE_DONE);
    check_promise(first, 3);
    check_promise(second, 4);
    CHECK_EQ(nth_effect(second, 0)->callback, 0); /* the preaction */
    CHECK_EQ(command("action nosuch"), DTM_EINVAL);
    CHECK(strstr(detail, "nosuch"));
    uint64_t odd = begin_until(DTM_INSTANCE_DONE, "steps misuse");
    check_promise(odd, 3);
    finish_acting();
}

static void without_a_store(void)
{
    struct service service = acting_service();
    service.config.store = NULL;
    start(&service);
    CHECK_EQ(command("action steps"), DTM_ECONFIG);
    CHECK_EQ(command("store"), DTM_ECONFIG);
    CHECK(strstr(detail, "sqlite:"));
    finish();
}

static void with_an_unknown_store(void)
{
    struct service service = acting_service();
    service.config.store = "nosuch:/x";
    launch(&service);
    refused_with("nosuch");
}

static void waits(void)
{
    start_acting();
    uint64_t go = begin_until(DTM_INSTANCE_WAITING, "steps go");
    CHECK_EQ(action_of(go)->wait, DTM_WAIT_GO);
    uint64_t timed = begin_action("steps wait 50"), limited = begin_action("steps go 50");
    WAIT_STATE(timed, DTM_INSTANCE_DONE);
    WAIT_STATE(limited, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(timed, 2)->timed_out, 0);
    CHECK_EQ(nth_effect(limited, 2)->timed_out, 1);
    CHECK_EQ(action_of(go)->state, DTM_INSTANCE_WAITING);
    CHECK_EQ(command("verb %d %d", (int)go, DTM_VERB_GO), DTM_OK);
    WAIT_STATE(go, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(go, 2)->timed_out, 0);
    check_promise(go, 3);
    check_promise(timed, 3);
    check_promise(limited, 3);
    finish_acting();
}

/* All workers updated: not before the one that is missing is back. */
static void waits_for_workers(void)
{
    start_acting();
    shared->update_agains = 1 << 30;
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 4);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps updated");
    int passes = GET(shared->passes);
    WAIT(GET(shared->passes) > passes + 5);
    CHECK_EQ(action_of(id)->state, DTM_INSTANCE_WAITING);
    SET(shared->update_agains, 0);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK_EQ(count_open(0), 3);

    /* The drain is over: not before the last worker of it is gone. */
    int busy = dial_worker(nth_open(0));
    CHECK(ask(busy, "busy"));
    CHECK_EQ(kill(shared->host, SIGHUP), 0);
    WAIT(shared->reloads == 1);
    id = begin_until(DTM_INSTANCE_WAITING, "steps drained");
    passes = GET(shared->passes);
    CHECK_EQ(command("store"), DTM_OK);
    WAIT(GET(shared->passes) > passes);
    CHECK_EQ(action_of(id)->state, DTM_INSTANCE_WAITING);
    hang_up(busy);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    finish_acting();
}

static void ends(void)
{
    start_acting();
    uint64_t jump = begin_action("steps jump 0"), again = begin_action("steps again 3"),
             done = begin_action("steps done"), fail = begin_action("steps fail"),
             falls = begin_action("careful fail"), mends = begin_action("careful fail mend"),
             starts = begin_action("steps start");
    WAIT_STATE(jump, DTM_INSTANCE_DONE);
    check_promise(jump, 13); /* 0 1 0 1 ... until step 10 */
    WAIT_STATE(again, DTM_INSTANCE_DONE);
    check_promise(again, 6);
    WAIT_STATE(done, DTM_INSTANCE_DONE);
    check_promise(done, 2);
    WAIT_STATE(fail, DTM_INSTANCE_FAILED);
    CHECK_EQ(effects_of(fail, -1), 2);
    WAIT_STATE(falls, DTM_INSTANCE_FAILED);
    CHECK_EQ(effects_of(falls, -1), 4);
    CHECK_EQ(nth_effect(falls, 3)->callback, 2);
    CHECK_EQ(nth_effect(falls, 3)->cause, DTM_EFAILED);
    WAIT_STATE(mends, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(mends, 4)->phase, 2);
    WAIT_STATE(starts, DTM_INSTANCE_DONE);
    WAIT_STATE(starts + 1, DTM_INSTANCE_DONE);
    check_promise(starts + 1, 3);
    finish_acting();
}

/* G11: attempts are counted before they begin; parked after the last, others go on. */
static void parked(void)
{
    start_acting();
    uint64_t errs = begin_action("steps error 1"), stays = begin_action("careful error 9"),
             kills = begin_action("steps kill 9");
    WAIT_STATE(kills, DTM_INSTANCE_PARKED);
    CHECK_EQ(effects_of(kills, 1), 3);
    for (uint32_t i = 1; i <= 3; i++)
        CHECK_EQ(nth_effect(kills, i)->attempt, i);
    CHECK_EQ(shared->controller_inits, 1 + 3);
    WAIT_STATE(errs, DTM_INSTANCE_DONE);
    CHECK_EQ(effects_of(errs, 1), 2);
    check_promise(errs, 3);
    WAIT_STATE(stays, DTM_INSTANCE_PARKED);
    CHECK_EQ(effects_of(stays, 1), 3);
    uint32_t last = effects_of(stays, -1) - 1;
    CHECK_EQ(nth_effect(stays, last)->callback, 2);
    CHECK_EQ(nth_effect(stays, last)->cause, -EIO);
    CHECK(strstr(action_of(stays)->text, "EIO"));
    begin_until(DTM_INSTANCE_DONE, "steps");

    /* Resumed: the same token, and further attempts. */
    CHECK_EQ(command("verb %d %d", (int)kills, DTM_VERB_GO), DTM_EREFUSED);
    CHECK_EQ(command("verb %d %d", (int)kills, DTM_VERB_RESUME), DTM_OK);
    WAIT(effects_of(kills, 1) == 4);
    CHECK_EQ(nth_effect(kills, 4)->attempt, 4);
    CHECK(!strcmp(nth_effect(kills, 4)->token, nth_effect(kills, 1)->token));
    WAIT_STATE(kills, DTM_INSTANCE_PARKED);
    finish_acting();
}

/* G11: one that hangs holds up its controller only; whoever ends that one counts. */
static void hangs(void)
{
    struct service service = acting_service();
    service.config.hang_timeout_ms = DTM_OFF;
    start(&service);
    uint64_t id = begin_action("steps hang 1");
    WAIT(effects_of(id, 1) == 1);
    CHECK(serves());
    end_kid(controller(), SIGKILL);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    CHECK_EQ(effects_of(id, 1), 2);
    check_promise(id, 3);
    finish_acting();
}

static void in_the_background(void)
{
    start_acting();
    uint64_t woken = begin_action("steps pending"), limited = begin_action("steps pending 50"),
             dies = begin_action("steps pending");
    WAIT(effects_of(woken, 1) == 1 && effects_of(dies, 1) == 1);
    CHECK_EQ(command("wake %d -7", (int)woken), DTM_OK);
    WAIT_STATE(woken, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(woken, 2)->status, -7);
    CHECK_EQ(nth_effect(woken, 2)->attempt, 1);
    WAIT_STATE(limited, DTM_INSTANCE_DONE);
    CHECK_EQ(nth_effect(limited, 2)->status, -ETIMEDOUT);
    CHECK_EQ(command("wake %d 0", (int)woken), DTM_EREFUSED);
    CHECK_EQ(command("wake 999 0"), DTM_EGONE);
    /* What went on in a controller that is gone is begun anew. */
    end_kid(controller(), SIGKILL);
    WAIT(effects_of(dies, 1) == 2);
    CHECK_EQ(nth_effect(dies, 2)->attempt, 2);
    CHECK_EQ(nth_effect(dies, 2)->resumed, 0);
    CHECK_EQ(command("wake %d 0", (int)dies), DTM_OK);
    WAIT_STATE(dies, DTM_INSTANCE_DONE);
    check_promise(dies, 3);
    finish_acting();
}

/* An operator's pause does not touch it. */
static void paused_in_the_background(void)
{
    start_acting();
    uint64_t early = begin_action("steps pending"), late = begin_action("steps pending");
    WAIT(effects_of(early, 1) == 1 && effects_of(late, 1) == 1);
    CHECK_EQ(command("verb %d %d", (int)early, DTM_VERB_PAUSE), DTM_OK);
    CHECK_EQ(command("verb %d %d", (int)late, DTM_VERB_PAUSE), DTM_OK);
    CHECK_EQ(command("wake %d 3", (int)early), DTM_OK);
    CHECK_EQ(command("verb %d %d", (int)late, DTM_VERB_RESUME), DTM_OK);
    CHECK_EQ(command("wake %d 3", (int)late), DTM_OK);
    WAIT_STATE(late, DTM_INSTANCE_DONE);
    CHECK_EQ(effects_of(early, 1), 1);
    CHECK_EQ(command("verb %d %d", (int)early, DTM_VERB_RESUME), DTM_OK);
    WAIT_STATE(early, DTM_INSTANCE_DONE);
    uint64_t ids[] = {early, late};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(effects_of(ids[i], 1), 2);
        CHECK_EQ(nth_effect(ids[i], 2)->attempt, 1);
        CHECK_EQ(nth_effect(ids[i], 2)->resumed, 1);
        CHECK_EQ(nth_effect(ids[i], 2)->status, 3);
        check_promise(ids[i], 3);
    }
    finish_acting();
}

static void operators(void)
{
    struct service service = acting_service();
    start(&service);
    uint64_t id = begin_action("steps go"), gone = begin_action("steps go");
    WAIT_STATE(id, DTM_INSTANCE_WAITING);
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_PAUSE), DTM_OK);
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_GO), DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_PAUSED);
    CHECK_EQ(command("verb %d %d", (int)gone, DTM_VERB_CANCEL), DTM_OK);
    WAIT_STATE(gone, DTM_INSTANCE_CANCELLED);
    CHECK_EQ(command("verb %d %d", (int)gone, DTM_VERB_RESUME), DTM_EREFUSED);
    CHECK_EQ(command("verb 999 1"), DTM_EGONE);
    CHECK_EQ(command("verb %d 77", (int)id), DTM_EINVAL);
    CHECK_EQ(effects_of(id, 2), 0);
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_RESUME), DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
    finish_acting();
}

/* L18: the whole service is killed in the middle of its work; the next run completes it. */
static void outlives_the_service(void)
{
    struct service service = acting_service();
    start(&service);
    uint64_t waits = begin_action("steps go"), hangs = begin_action("steps hang 1");
    WAIT(effects_of(hangs, 1) == 1);
    CHECK_EQ(effects_of(waits, 1), 1);
    kill(shared->host, SIGKILL);
    wait_host();
    size_t left;
    WAIT((left = survivors(NULL, 0)) == 0);
    start_again(&service);
    WAIT_STATE(hangs, DTM_INSTANCE_DONE);
    check_promise(hangs, 3);
    WAIT_STATE(waits, DTM_INSTANCE_WAITING);
    let_go(waits);
    finish_acting();
}

/* G13 */
static void one_list_of_workers(void)
{
    start_acting();
    uint64_t id = begin_action("steps workers");
    WAIT(GET(ledger->commands) == 1);
    end_kid(nth_open(0), SIGKILL);
    kill(shared->host, SIGHUP);
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) > 3);
    SET(ledger->release, 1);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    WAIT(shared->reloads == 1 && count_open(2) == 3);
    check_promise(id, 3);
    finish_acting();
}

/* 3.9: no fork while an action forbids it; its death allows it again. */
static void forbids_forking(void)
{
    start_acting();
    uint64_t id = begin_action("steps nofork 60000");
    WAIT(GET(ledger->commands) == 1); /* the master has acknowledged it */
    CHECK_EQ(ledger->command_status, DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    uint64_t spawns = shared->last_spawn;
    end_kid(nth_open(0), SIGKILL);
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(count_open(0), 2);
    end_kid(controller(), SIGKILL);
    WAIT(count_open(0) == 3);
    /* And by its own time. */
    id = begin_until(DTM_INSTANCE_DONE, "steps nofork 300");
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(0) == 3);
    finish_acting();
}

/* G08: a process that a phase forks has no runtime, and so no store. */
static void forks_in_a_phase(void)
{
    struct service service = acting_service();
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "steps fork");
    check_promise(id, 3);
    CHECK_EQ(GET(ledger->release), 1);
    finish_acting();
}

#ifdef HAVE_SQLITE
/* G09: what the service does with the database's own handle commits with the phase. */
static void native_handle_with(int failures)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "steps sql %d", failures);
    check_promise(id, 3);
    CHECK_EQ(effects_of(id, 1), 3);
    finish();
    char line[256], text[32] = "";
    snprintf(line, sizeof line, "sqlite3 -batch %s 'SELECT count(*), max(attempt) FROM mine'",
             store_path());
    FILE *pipe = popen(line, "re");
    CHECK(pipe && fgets(text, sizeof text, pipe));
    CHECK_EQ(pclose(pipe), 0);
    CHECK(strcmp(text, "1|3\n") == 0); /* two attempts were taken back */
    remove_store();
}

static void native_handle(void)
{
    native_handle_with(2);
    native_handle_with(-2); /* with no result that there is */
    CHECK_EQ(logged("returned 11, which means nothing"), 2);
}
#endif

/* What an operator can read about an action. */
static void history(void)
{
    start_acting();
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "careful error 1");
    CHECK(command("history %d", (int)id) > 0);
    static const char *const lines[] = {"started",
                                        "preaction (attempt 1) done",
                                        "phase 0 (attempt 1) done",
                                        "phase 1 (attempt 1) failed",
                                        "phase 1 (attempt 2) done",
                                        "phase 2 (attempt 1) done"};
    const char *at = shared->history;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        at = strstr(at, lines[i]);
        CHECK(at);
    }
    CHECK_EQ(command("history 999"), DTM_EGONE);
    finish_acting();
}

/* At each step of a turn, in each phase. */
static void killed_at_each_step(void)
{
    static const char *const points[] = {"action.count", "action.call", "action.called",
                                         "store.commit", "action.done"};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        for (int hit = 1; hit <= 4; hit++) {
            char fault[64];
            snprintf(fault, sizeof fault, "%s=kill@%d", points[i], hit);
            struct service service = acting_service();
            service.fault = fault;
            start(&service);
            uint64_t id = surely_begin("action careful");
            WAIT_STATE(id, DTM_INSTANCE_DONE);
            check_promise(id, 4);
            finish();
            CHECK_EQ(shared->result.deaths, 1);
            remove_store();
        }
}

static const struct test tests[] = {
    {"phases in order", phases_in_order},
    {"without a store", without_a_store},
    {"with an unknown store", with_an_unknown_store},
    {"waits", waits},
    {"waits for workers", waits_for_workers},
    {"ends", ends},
    {"parked after its attempts", parked},
    {"a phase that hangs", hangs},
    {"in the background", in_the_background},
    {"paused in the background", paused_in_the_background},
    {"operators", operators},
    {"outlives the service", outlives_the_service},
    {"one list of workers", one_list_of_workers},
    {"forbids forking", forbids_forking},
    {"a process that it forks", forks_in_a_phase},
#ifdef HAVE_SQLITE
    {"native handle", native_handle},
#endif
    {"history", history},
    {"killed at each step", killed_at_each_step},
};
TEST_MAIN(tests)
