/*
 * Forking forbidden by the controller: nothing is forked, and nothing forgotten.
 * flow: M3, M10, M15, M16, M18, M19, C8
 * faults: D05, D06, D07, D08
 */
#include "peer.h"

#include <string.h>
#include <unistd.h>

static void exactly_three(void)
{
    struct service service = a_service();
    service.config.workers = 4;
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    uint64_t spawns = shared->last_spawn;
    for (int i = 0; i < 3; i++)
        end_kid(nth_open(0), SIGKILL); /* deaths are seen at once */
    observe(100); /* the delay before a replacement is far shorter: none is planned */
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(count_open(1), 1);
    CHECK(serves());
    CHECK_EQ(command("fork"), DTM_OK);
    WAIT(count_open(1) == 4);
    finish();
    CHECK_EQ(shared->last_spawn, spawns + 3);
    CHECK_EQ(shared->result.forks, 5 + 3);
    CHECK_EQ(shared->result.deaths, 3);
}

static void loadconf_runs_once_afterwards(void)
{
    struct service service = a_service();
    start(&service);
    int loads = shared->config_loads;
    CHECK_EQ(command("nofork 0"), DTM_OK);
    for (uint32_t i = 0; i < 3; i++) {
        kill(shared->host, SIGALRM);
        WAIT(logged("loadconf waits") == i + 1);
    }
    CHECK_EQ(shared->config_loads, loads);
    CHECK_EQ(command("fork"), DTM_OK);
    WAIT(shared->config_loads == loads + 1);
    CHECK_EQ(command("reopen"), DTM_OK); /* the master's loop has gone on since */
    CHECK_EQ(shared->config_loads, loads + 1);
    finish();
}

static void reload_runs_afterwards(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    uint64_t spawns = shared->last_spawn;
    kill(shared->host, SIGHUP);
    WAIT(logged("reload waits"));
    CHECK_EQ(command("reopen"), DTM_OK); /* the master's loop has gone on since */
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(command("fork"), DTM_OK);
    WAIT(shared->reloads == 1 && count_open(2) == 3 && count_open(1) == 0);
    CHECK_EQ(shared->reload_status, DTM_OK);
    finish();
    CHECK_EQ(shared->result.reloads, 1);
}

/* M18: stopping needs no fork. M19: starting does. */
static void stop_is_allowed_and_start_is_not(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    CHECK_EQ(command("stop"), DTM_OK);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 0);
    CHECK_EQ(command("start"), DTM_ENOFORK);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 0);
    CHECK_EQ(command("fork"), DTM_OK);
    CHECK_EQ(command("start"), DTM_OK);
    WAIT(count_open(0) == 3);
    CHECK(serves());
    finish();
}

static void ends_at_its_deadline(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 300"), DTM_OK);
    end_kid(nth_open(0), SIGKILL);
    CHECK_EQ(count_open(1), 2);
    WAIT(count_open(1) == 3); /* nobody said "fork" */
    finish();
}

/* None is longer than `nofork_max_ms`: more is refused, and "as long as may be" ends. */
static void has_a_longest_time(void)
{
    struct service service = a_service();
    service.config.nofork_max_ms = 200;
    start(&service);
    CHECK_EQ(command("nofork 201"), DTM_EINVAL);
    CHECK_EQ(command("nofork 3600000"), DTM_EINVAL);
    CHECK_EQ(command("reopen"), DTM_OK); /* the master has looked for a ban since */
    CHECK_EQ(logged("forking is forbidden"), 0);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(1) == 3); /* nobody said "fork" */
    finish();
}

/* It dies with the controller that asked for it, or that one could never be replaced. */
static void ends_with_its_controller(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    end_kid(nth_open(0), SIGKILL);
    end_kid(controller(), SIGKILL);
    WAIT(count_open(1) == 3 && controller());
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
}

/* The same when the master learns of all deaths at once, by signal and by pidfd. */
static void ends_with_it_while_the_master_is_stopped(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    struct kid *banning = controller(), *worker = nth_open(0);
    kill(shared->host, SIGSTOP);
    WAIT(state_of(shared->host) == 'T');
    kill(worker->pid, SIGKILL);
    kill(banning->pid, SIGKILL);
    WAIT(state_of(worker->pid) == 'Z' && state_of(banning->pid) == 'Z');
    kill(shared->host, SIGCONT);
    WAIT(count_open(1) == 3 && controller() && controller() != banning);
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
    CHECK_EQ(shared->result.deaths, 2);
    CHECK_EQ(shared->result.forks, 4 + 2);
}

/* Zombies that wait for the ban to end are no obstacle to the end of everything. */
static void shutdown_meanwhile(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("nofork 0"), DTM_OK);
    end_kid(nth_open(0), SIGKILL);
    end_kid(nth_open(0), SIGKILL);
    finish();
    CHECK_EQ(shared->result.forks, 4);
}

/* Forbidding while replacements are under way: what is done is done, and after
 * the answer nothing is forked any more. */
static void done_means_no_fork_in_flight(void)
{
    struct service service = a_service();
    start(&service);
    for (int i = 0; i < 20; i++) {
        struct kid *kid = nth_open(0);
        kill(kid->pid, SIGKILL);
        CHECK_EQ(command("nofork 0"), DTM_OK);
        uint64_t spawns = shared->last_spawn;
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK_EQ(command("reopen"), DTM_OK); /* the master's loop has gone on since */
        CHECK_EQ(shared->last_spawn, spawns);
        CHECK_EQ(command("fork"), DTM_OK);
        WAIT(count_open(1) == 3);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 20);
    CHECK_EQ(shared->result.forks, 4 + 20);
}

/* Forbidden and allowed again in one pass of the master's loop: allowed is what lasts.
 * The commands between them make that pass long. */
static void forbidden_for_a_moment(void)
{
    char many[512] = "nofork 0";
    for (int i = 0; i < 40; i++)
        strcat(many, "\nreopen");
    struct service service = a_service();
    start(&service);
    for (int i = 0; i < 300; i++) {
        int forbid = ask_command(many), allow = ask_command("fork");
        CHECK_EQ(command_answer(allow), DTM_OK);
        CHECK_EQ(command_answer(forbid), DTM_OK);
        CHECK_EQ(command("loadconf"), DTM_OK); /* while forbidden it would wait */
    }
    finish();
}

static const struct test tests[] = {
    {"3 killed while forbidden, exactly 3 replaced", exactly_three},
    {"loadconf while forbidden runs once afterwards", loadconf_runs_once_afterwards},
    {"reload while forbidden runs afterwards", reload_runs_afterwards},
    {"stop is allowed, start is not", stop_is_allowed_and_start_is_not},
    {"the ban ends at its deadline", ends_at_its_deadline},
    {"the ban has a longest time", has_a_longest_time},
    {"the ban ends with its controller", ends_with_its_controller},
    {"the ban ends with its controller, the master stopped",
     ends_with_it_while_the_master_is_stopped},
    {"shutdown while forbidden", shutdown_meanwhile},
    {"once answered, no fork is in flight", done_means_no_fork_in_flight},
    {"forbidden for a moment", forbidden_for_a_moment},
};
TEST_MAIN(tests)
