/*
 * The new binary adopts the workers that the old one has left: it shows them, passes them on
 * to the next one, and does not end before they have.
 * flow: L2
 */
#include "upgrade.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Each is in the list until it has left, as long as the old master does its part. */
static void they_are_listed(void)
{
    int fds[2];
    struct who workers[2];
    char line[64];
    start_with(1, "1", "2");
    two_clients(fds, workers);
    CHECK_EQ(metric("dtm_adopted_workers"), 0);
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    WAIT(metric("dtm_adopted_clients") == 2);
    CHECK_EQ(metric("dtm_adopted_workers"), 2); /* no scrape gets to the old one */
    CHECK_EQ(metric("dtm_slots{class=\"disallowed\"}"), 2);
    CHECK(is_listed(workers[0].pid) && is_listed(workers[1].pid));
    CHECK(strstr(operated("info worker"), ",state=draining,clients=1,deadline_in="));
    CHECK(strstr(operated("workers json"), "\"class\":\"disallowed\""));
    snprintf(line, sizeof line, "recycle pid %d", workers[0].pid);
    CHECK(strstr(operated(line), "is of the old binary"));
    CHECK(strstr(operated("status json"), "\"workers_adopted\":2"));
    for (int i = 0; i < 2; i++) {
        still_served(fds[i], &workers[i]);
        WAIT(metric("dtm_adopted_workers") == 1 - i);
        CHECK(!is_listed(workers[i].pid));
    }
    WAIT(ended(first, NULL));
    CHECK_EQ(nth_end(1).reason, DTM_END_UPGRADED);
    CHECK_EQ(in_log("of the old binary has left"), 2);
    CHECK_EQ(in_log("is killed"), 0);
    end();
}

/* One answer over a connection that stays; false: it is closed. */
static bool scrape(int fd)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    static char page[1 << 17];
    size_t len = 0;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return false;
    for (;;) {
        ssize_t n = recv(fd, page + len, sizeof page - 1 - len, 0);
        if (n <= 0)
            return false;
        page[len += (size_t)n] = 0;
        const char *body = strstr(page, "\r\n\r\n"), *size = strstr(page, "Content-Length: ");
        if (body && size && len == (size_t)(body + 4 - page) + strtoul(size + 16, NULL, 10))
            return true;
    }
}

/* A scraper that keeps its connection has to come again, for the new binary's totals. */
static void scrapers_move(void)
{
    char address[160];
    struct who worker;
    start_with(1, "1", "2");
    int busy = busy_client(&worker); /* the old one stays for a while */
    snprintf(address, sizeof address, "unix:%s", at("metrics"));
    int fd = dial_address(address);
    CHECK(scrape(fd) && scrape(fd));
    upgrade_to(2, &worker);
    CHECK(!scrape(fd));
    hang_up(fd);
    WAIT(metric("dtm_adopted_workers") == 1);
    still_served(busy, &worker);
    WAIT(ended(first, NULL));
    end();
}

#ifdef HAVE_SQLITE
/* Lines of DIRECTORY/walked so far; they are in order, and a phase that was begun anew says
 * so. `ret_new`: those of version 2. */
static int walked(int *ret_new)
{
    int phase, version, lines = 0, last = -1, by_new = 0;
    unsigned attempt;
    FILE *file = fopen(at("walked"), "re");
    while (file && fscanf(file, "%d %u %d", &phase, &attempt, &version) == 3) {
        CHECK(phase == last + 1 || (phase == last && attempt > 1));
        last = phase;
        by_new += version == 2;
        lines++;
    }
    if (file)
        fclose(file);
    if (ret_new)
        *ret_new = by_new;
    return lines;
}

/* An action is in the middle of its way. The new controller goes on with it at once, and
 * not when the old one, which stays as long as its workers drain, has left. */
static void actions_go_on(void)
{
    char uri[200];
    struct who worker;
    int by_new = 0;
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    snprintf(uri, sizeof uri, "sqlite:%s", at("db"));
    write_file("store", uri);
    start_draining("60000", "2");
    int fd = busy_client(&worker);
    CHECK(strstr(operated("actions start walk"), ":1"));
    WAIT(walked(NULL) >= 10);
    upgrade_to(2, &worker);
    WAIT(walked(&by_new) >= 200 && by_new > 0);
    WAIT(strstr(operated("actions json"), "\"state\":\"done\""));
    CHECK(runs(first)); /* with its controller */
    CHECK_EQ(in_log("DB_TAKEN"), 0);
    CHECK_EQ(in_log("FENCED"), 0);
    still_served(fd, &worker);
    WAIT(ended(first, NULL));
    end();
}
#endif

/* The next upgrade may come while they drain: the third binary adopts those of both. */
static void one_more_upgrade(void)
{
    struct who of_first, of_second;
    start_with(1, "1", "2");
    int one = busy_client(&of_first);
    int second = upgrade_to(2, &of_first);
    WAIT(metric("dtm_adopted_workers") == 1); /* the other one had no client */
    WAIT(who_serves().version == 2);
    int two = busy_client(&of_second);
    CHECK_EQ(of_second.version, 2);
    upgrade_to(1, &of_second);
    WAIT(metric("dtm_adopted_workers") == 2);
    CHECK(is_listed(of_first.pid) && is_listed(of_second.pid));
    kill_master(first);
    kill_master(second);
    still_served(one, &of_first);
    still_served(two, &of_second);
    WAIT(metric("dtm_adopted_workers") == 0);
    WAIT(survivors(NULL, 0) == 4);
    end();
}

/* SIGTERM: the service has not ended before they have, and can be asked meanwhile. */
static void a_graceful_end_waits(void)
{
    struct who worker;
    start_with(1, "1", "2");
    int fd = busy_client(&worker);
    int second = upgrade_to(2, &worker);
    kill_master(first);
    WAIT(metric("dtm_adopted_workers") == 1);
    CHECK_EQ(kill(second, SIGTERM), 0);
    WAIT(survivors(NULL, 0) == 3); /* the new master, its controller, and that one */
    CHECK(is_listed(worker.pid));
    still_served(fd, &worker);
    int status = -1;
    WAIT(ended(second, &status));
    CHECK_EQ(status, 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(nth_end(1).reason, DTM_END_GRACEFUL);
    clean();
}

/* SIGINT ends them, whoever is left to say so. */
static void a_fast_end(bool old_master_lives, bool hangs)
{
    struct who worker;
    start_with(1, "1", "2");
    int fd = busy_client(&worker);
    int second = upgrade_to(2, &worker);
    if (!old_master_lives)
        kill_master(first);
    if (hangs)
        say(fd, "loop");
    CHECK_EQ(kill(second, SIGINT), 0);
    WAIT(survivors(NULL, 0) == 0);
    hang_up(fd);
    int of_new = old_master_lives && nth_end(1).version == 1 ? 2 : 1;
    CHECK_EQ(nth_end(of_new).version, 2);
    CHECK_EQ(nth_end(of_new).reason, DTM_END_FAST);
    CHECK_EQ(in_log("is killed: it did not leave in time"), !old_master_lives && hangs);
    clean();
}

static void both_end_fast(void)
{
    a_fast_end(true, false);
}

static void alone_it_ends_fast(void)
{
    a_fast_end(false, false);
}

static void nobody_is_left_behind(void)
{
    a_fast_end(false, true);
}

static const struct test tests[] = {
    {"they are listed", they_are_listed},
    {"scrapers move on", scrapers_move},
#ifdef HAVE_SQLITE
    {"actions go on", actions_go_on},
#endif
    {"one more upgrade", one_more_upgrade},
    {"a graceful end waits", a_graceful_end_waits},
    {"a fast end, both masters", both_end_fast},
    {"a fast end, the old master is dead", alone_it_ends_fast},
    {"a fast end, a worker hangs", nobody_is_left_behind},
};
TEST_MAIN(tests)
