/*
 * Listeners that a reload adds or removes: with it, and what waits there is served.
 * flow: M1, M17, L3
 * faults: D14
 */
#include "relisten.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void added_and_removed_under_load(void)
{
    struct service service = with_plan(3);
    four_places();
    start_in_mode(&service);
    for (int place = 1; place <= 3; place++)
        answers(place);
    struct load *load = load_start(2);
    size_t fds = 0;
    for (int i = 0; i < 6; i++) {
        int removed = 1 + i % 2, added = 3 - removed, port = plan->port[removed];
        want(removed, "");
        want(added, added == 1 ? "127.0.0.2:0" : "127.0.0.3:0");
        want(3, unix_place(i % 2 ? "old" : "new"));
        CHECK_EQ(command("reload"), DTM_OK);
        answers(added);
        answers(3);
        /* The controller is older than any of them. */
        CHECK_EQ(command("accept %d", plan->index[added]), DTM_OK);
        CHECK(shared->accept.accepted >= 1);
        CHECK(access(strchr(unix_place(i % 2 ? "new" : "old"), '/'), F_OK) < 0);
        CHECK_EQ(plan->after, -ENOENT);
        WAIT(is_refused(removed, port));
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        if (i == 2)
            fds = count_fds(shared->host);
    }
    load_stop(load);
    lost_nothing(load);
    CHECK_LE(count_fds(shared->host), fds + 4); /* numbers are used again */
    CHECK_EQ(plan->in_controller, DTM_EROLE);
    CHECK_EQ(command("accept %d", DTM_LISTENERS_MAX - 1), DTM_EINVAL);
    finish();
    CHECK_EQ(shared->result.reloads, 6);
}

/* More than there may be at a time. */
static void numbers_are_used_again(void)
{
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    for (int i = 0; i < DTM_LISTENERS_MAX + 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        want(3, unix_place(name));
        CHECK_EQ(command("reload"), DTM_OK);
        answers(3);
        answers(1);
    }
    finish();
}

/* More workers than wait at one socket (16): in token and shared they have two there, too. */
static void added_for_two_groups(void)
{
    enum { WORKERS = 18 };
    static struct crowd crowd;
    struct service service = with_plan(WORKERS);
    service.config.max_processes = 64;
    four_places();
    want(1, "");
    start_in_mode(&service);
    want(1, "127.0.0.2:0");
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
    CHECK_EQ(command("accept %d", plan->index[1]), DTM_OK);
    if (mode->number == DTM_ACCEPT_TOKEN || mode->number == DTM_ACCEPT_SHARED)
        CHECK_EQ(shared->accept.queues, 2);
    while (crowd.size < 400)
        join(&crowd, dial_at(1));
    if (mode->all)
        all_have_some(&crowd);
    all_leave(&crowd);
    CHECK_EQ(shared->result.deaths, 0);
}

/* Questions that wait at each place that is about to be removed. */
enum { WAITING = 30 };

static void what_waits_is_served(bool by_the_old)
{
    int fds[2 * WAITING], busy[3], many = 0;
    struct service service = with_plan(3);
    service.config.accept_tokens = 3;
    four_places();
    start_in_mode(&service);
    for (int i = 0; i < 3; i++) { /* who is blocked takes no more */
        say(busy[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    for (int i = 0; i < WAITING; i++) {
        say(fds[many++] = dial_at(1), "who");
        say(fds[many++] = dial_at(3), "who");
    }
    want(1, "");
    want(3, "");
    CHECK_EQ(command("reload"), DTM_OK);
    if (!by_the_old)
        WAIT(count_answered(fds, many) == many);
    SET(shared->unblock, 1);
    for (int i = 0; i < many; i++) {
        CHECK(hear(fds[i]));
        hang_up(fds[i]);
    }
    for (int i = 0; i < 3; i++)
        hang_up(busy[i]);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    answers(2);
    finish();
}

static void by_the_old_generation(void)
{
    what_waits_is_served(true);
}

static void by_the_new_one_if_the_old_hangs(void)
{
    what_waits_is_served(false);
}

/* The removed one was the only TCP listener, or comes to be. */
static void the_first_and_the_last(void)
{
    struct service service = with_plan(2);
    service.listen[0] = NULL;
    want(3, unix_place("old"));
    if (mode->number == DTM_ACCEPT_STEER || mode->number == DTM_ACCEPT_HASH)
        service.config.accept_mode = DTM_ACCEPT_AUTO; /* there is nothing to steer yet */
    start(&service);
    answers(3);
    for (int i = 0; i < 3; i++) {
        want(1, "127.0.0.2:0");
        CHECK_EQ(command("reload"), DTM_OK);
        answers(1);
        answers(3);
        want(1, "");
        CHECK_EQ(command("reload"), DTM_OK);
        answers(3);
    }
    finish();
}

/* Between dtm_listen() and the moment when clients may come: the answer tells it, and the
 * next reload has it, be it the same folder again or a new one. */
static void its_folder_goes(void)
{
    char folder[128], gone[160], said[200];
    struct service service = with_plan(2);
    four_places();
    start_in_mode(&service);
    snprintf(folder, sizeof folder, "%s/f", scratch());
    snprintf(gone, sizeof gone, "%s.gone", folder);
    snprintf(said, sizeof said, "; but listen %s: No such file", unix_place("f/s"));
    for (int again = 0; again < 2; again++) {
        CHECK_EQ(mkdir(folder, 0700), 0);
        want(4, unix_place("f/s"));
        strcpy(plan->vanishes, folder);
        CHECK_EQ(command("reload"), DTM_OK);
        if (!strstr(detail, said))
            fail_at(__FILE__, __LINE__, "'%s' does not say '%s'", detail, said);
        plan->vanishes[0] = 0;
        CHECK_EQ(again ? mkdir(folder, 0700) : rename(gone, folder), 0);
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK(!strstr(detail, "; but"));
        for (int place = 1; place <= 4; place++)
            answers(place);
        want(4, "");
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK_EQ(rmdir(folder), 0);
    }
    snprintf(said, sizeof said, "rm -r %s", gone); /* of a listener that nobody has seen */
    CHECK_EQ(system(said), 0);
    finish();
}

static const struct test tests[] = {
    {"added for two groups of workers", added_for_two_groups},
    {"added and removed under load", added_and_removed_under_load},
    {"numbers are used again", numbers_are_used_again},
    {"its folder goes", its_folder_goes},
    {"by the old generation", by_the_old_generation},
    {"by the new one if the old hangs", by_the_new_one_if_the_old_hangs},
    {"the first and the last", the_first_and_the_last},
};

MODES_MAIN(tests)
