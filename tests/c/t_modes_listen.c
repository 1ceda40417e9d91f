/*
 * Listeners of every kind together, and none with anything to do, in every accept mode.
 * flow: M1, M9, W3, W6
 */
#include "modes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, EACH = 8 };

static struct crowd crowd;
static char addresses[LISTENERS][160];

/* Two TCP listeners, one for IPv6, one Unix socket. */
static void start_with_all(void)
{
    struct service service = in_mode(WORKERS);
    snprintf(addresses[3], sizeof addresses[3], "unix:%s/service", scratch());
    service.listen[1] = "[::1]:0";
    service.listen[2] = "127.0.0.1:0";
    service.listen[3] = addresses[3];
    start_in_mode(&service);
    snprintf(addresses[0], sizeof addresses[0], "127.0.0.1:%d", shared->port[0]);
    snprintf(addresses[1], sizeof addresses[1], "[::1]:%d", shared->port[1]);
    snprintf(addresses[2], sizeof addresses[2], "127.0.0.1:%d", shared->port[2]);
}

static int dial_listener(int i)
{
    char tag[32];
    int fd = dial_address(addresses[i]);
    snprintf(tag, sizeof tag, "%d %d", i, 100 + i);
    const char *answer = ask(fd, "tag");
    if (strcmp(answer, tag) != 0)
        fail_at(__FILE__, __LINE__, "'%s' instead of '%s'", answer, tag);
    return fd;
}

static void visit_all(void)
{
    for (int i = 0; i < EACH * LISTENERS; i++)
        join(&crowd, dial_listener(i % LISTENERS));
}

static void leave(void)
{
    all_leave(&crowd);
}

/* They are served, as one load, also by the next generation and after deaths. */
static void of_every_kind(void)
{
    start_with_all();
    visit_all();
    if (mode->even)
        stays_even(&crowd);
    else if (mode->all)
        all_have_some(&crowd);
    part(&crowd, NULL);
    settle(&crowd);
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS);
    visit_all();
    part(&crowd, NULL);
    settle(&crowd);
    end_kid(nth_open(1), SIGKILL);
    visit_all();
    WAIT(count_open(0) == WORKERS);
    leave();
}

/* What one of them has does not wait for the others. The master learns that they are
 * stopped when clients wait already: in mode pass, each of them may have been given one. */
static void one_stands_still(void)
{
    start_with_all();
    kill(shared->host, SIGSTOP);
    WAIT(state_of(shared->host) == 'T');
    for (uint32_t i = 1; i < WORKERS; i++)
        stop_kid(nth_open(i));
    int fds[EACH * LISTENERS];
    for (int i = 0; i < EACH * LISTENERS; i++)
        say(fds[i] = dial_address(addresses[i % LISTENERS]), "who");
    kill(shared->host, SIGCONT);
    WAIT(count_answered(fds, EACH * LISTENERS) == EACH * LISTENERS);
    for (uint32_t i = 1; i < WORKERS; i++)
        kill(nth_open(i)->pid, SIGCONT);
    hear_all(fds, EACH * LISTENERS, NULL);
    leave();
}

/* Each listener is asked for its own mode: a Unix socket has one queue. */
static void each_has_its_mode(void)
{
    bool own = mode->number == DTM_ACCEPT_STEER || mode->number == DTM_ACCEPT_HASH;
    start_with_all();
    visit_all();
    for (uint32_t i = 0; i < LISTENERS; i++) {
        CHECK_EQ(command("accept %u", i), DTM_OK);
        CHECK_EQ(shared->accept.wanted, mode->number);
        CHECK_EQ(shared->accept.mode, own && i == 3 ? DTM_ACCEPT_TOKEN : mode->number);
        CHECK_EQ(shared->accept.accepted, EACH);
    }
    CHECK_EQ(command("accept %d", LISTENERS), DTM_EINVAL);
    CHECK_EQ(schedule().accepted, EACH * LISTENERS);
    leave();
}

/* Only a Unix listener: served, or refused with the reason. */
static void only_unix(void)
{
    bool own = mode->number == DTM_ACCEPT_STEER || mode->number == DTM_ACCEPT_HASH;
    struct service service = in_mode(WORKERS);
    snprintf(addresses[0], sizeof addresses[0], "unix:%s/service", scratch());
    service.listen[0] = addresses[0];
    if (own) {
        launch(&service);
        return refused_with(mode->name);
    }
    start_in_mode(&service);
    for (int i = 0; i < EACH; i++)
        join(&crowd, dial_address(addresses[0]));
    leave();
}

/* Only steer needs a right that root has. */
static void without_privileges(void)
{
    struct service service = in_mode(WORKERS);
    service.before = become_nobody;
    if (mode->number == DTM_ACCEPT_STEER && getuid() == 0) {
        launch(&service);
        return refused_with("steer");
    }
    start_in_mode(&service);
    come(&crowd, EACH * WORKERS);
    part(&crowd, NULL);
    settle(&crowd);
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(command("scale %d", WORKERS + 2), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == WORKERS + 2 && count_open(2) == WORKERS + 2);
    come(&crowd, EACH * WORKERS);
    leave();
}

/* M9: with idle clients at every listener nobody wakes up. */
static void nobody_wakes_up(void)
{
    start_with_all();
    visit_all();
    /* Until what there was to do is done, the look for hangs included. */
    uint64_t before = settled_switches(1250);
    observe(1000);
    CHECK_EQ(switches_of_all() - before, 0);
    leave();
}

static const struct test tests[] = {
    {"listeners of every kind", of_every_kind},
    {"all but one worker stand still", one_stands_still},
    {"each listener has its mode", each_has_its_mode},
    {"only a Unix listener", only_unix},
    {"without privileges", without_privileges},
    {"nobody wakes up", nobody_wakes_up},
};
MODES_MAIN(tests)
