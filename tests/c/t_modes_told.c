/*
 * What the schedule tells of itself, in every accept mode: the console and the page for
 * Prometheus say the same, and it is true.
 * flow: M5, L12
 */
#include "console.h"
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { WORKERS = 3, MANY = 30, WAITING = 5 };

static char page[1 << 17];

/* The page at this moment. */
static void scrape(void)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    char address[160];
    size_t len = 0;
    snprintf(address, sizeof address, "unix:%s/metrics", scratch());
    int fd = dial_address(address);
    CHECK_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t n; (n = recv(fd, page + len, sizeof page - 1 - len, 0)) > 0;)
        len += (size_t)n;
    CHECK(len < sizeof page - 1);
    page[len] = 0;
    hang_up(fd);
}

static double scraped(const char *name)
{
    char line[100];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *found = strstr(page, line);
    if (!found)
        fail_at(__FILE__, __LINE__, "there is no %s", name);
    return strtod(found + strlen(line), NULL);
}

static char stats[4096];

static double said(const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(stats, key);
    if (!found)
        fail_at(__FILE__, __LINE__, "ACCEPT STATS has no %s: %s", name, stats);
    return strtod(found + strlen(key), NULL);
}

static void ask_console(int fd)
{
    snprintf(stats, sizeof stats, "%s", tell(fd, "ACCEPT STATS JSON"));
}

/* Both, until nothing has changed in between. */
static void look(int fd)
{
    char before[sizeof stats];
    do {
        ask_console(fd);
        memcpy(before, stats, sizeof before);
        scrape();
        ask_console(fd);
    } while (strcmp(before, stats) != 0);
}

static void agree(void)
{
    static const struct {
        const char *metric, *key;
    } both[] = {
        {"dtm_accept_willing_workers", "willing"}, {"dtm_accept_tokens", "tokens"},
        {"dtm_accept_queues", "queues"},           {"dtm_accept_queue_connections", "depth"},
        {"dtm_accept_skew_ratio", "skew"},         {"dtm_accepted_total", "accepted"},
        {"dtm_accept_moves_total", "moves"},       {"dtm_accept_passed_total", "passed"},
        {"dtm_accept_repassed_total", "repassed"}, {"dtm_accept_rescues_total", "rescues"},
        {"dtm_accept_empty_total", "empty"},       {"dtm_accept_errors_total", "errors"},
        {"dtm_accept_switches_total", "switches"}, {"dtm_accept_late_total", "late"},
        {"dtm_accept_drops_total", "drops"},
    };
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++)
        if (scraped(both[i].metric) != said(both[i].key))
            fail_at(__FILE__, __LINE__, "%s is %g, on the console %g", both[i].metric,
                    scraped(both[i].metric), said(both[i].key));
}

static const char *mode_name(void)
{
    return mode->number == DTM_ACCEPT_PASS ? "pass" : mode->name;
}

/* The share of each worker, by its slot; the sum of all. */
static int shares_told(int clients[WORKERS])
{
    int sum = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "dtm_worker_clients{slot=\"%u\"}", nth_open(i)->slot);
        sum += clients[i] = (int)scraped(name);
    }
    return sum;
}

static bool is_told_that_they_wait(int fd)
{
    ask_console(fd);
    return said("depth") == WAITING && said("waiting_ms") > 0;
}

/* Shares and the skew while clients are open, the queue while all are full. */
static void told(void)
{
    static struct crowd crowd;
    int clients[WORKERS], most = 0, fds[WAITING];
    char metrics[160], name[64];
    struct service service = a_console();
    service.config.workers = WORKERS;
    service.config.accept_mode = mode->number;
    service.config.accept_pass = mode->pass;
    service.config.max_clients = MANY / WORKERS;
    snprintf(metrics, sizeof metrics, "unix:%s/metrics", scratch());
    service.config.metrics_listen = metrics;
    start(&service);
    int fd = console();
    snprintf(name, sizeof name, "dtm_accept_mode{mode=\"%s\"}", mode_name());

    come(&crowd, MANY / 2);
    WAIT(open_clients() == MANY / 2);
    look(fd);
    agree();
    CHECK_EQ(scraped(name), 1);
    CHECK_EQ(said("accepted"), MANY / 2);
    CHECK_EQ(shares_told(clients), MANY / 2);
    for (uint32_t i = 0; i < WORKERS; i++) {
        CHECK_EQ(clients[i], share(&crowd, nth_open(i)));
        most = clients[i] > most ? clients[i] : most;
    }
    CHECK_EQ((int)(said("skew") * 1000 + 0.5), 1000 * WORKERS * most / (MANY / 2));
    if (mode->number == DTM_ACCEPT_TOKEN)
        CHECK(said("moves") >= 1 && said("tokens") >= 1);
    if (mode->number == DTM_ACCEPT_PASS)
        CHECK_EQ(said("passed"), MANY / 2);

    come(&crowd, MANY - MANY / 2);
    call(fds, WAITING);
    WAIT(is_told_that_they_wait(fd));
    CHECK_EQ(said("willing"), 0);
    do { /* it goes on: the master looks again and again */
        look(fd);
    } while (said("depth") != WAITING);
    agree();
    CHECK(scraped("dtm_accept_waiting_seconds") > 0);
    WAIT(logged("clients wait: of 3 open workers 0 take clients"));

    /* Out of descriptors: an error that both count. */
    part(&crowd, NULL);
    hear_all(fds, WAITING, NULL);
    WAIT(open_clients() == 0);
    for (uint32_t i = 0; i < WORKERS; i++)
        limit_files(nth_open(i)->pid, 3);
    call(fds, 1);
    do
        ask_console(fd);
    while (said("errors") == 0);
    for (uint32_t i = 0; i < WORKERS; i++)
        limit_files(nth_open(i)->pid, UINT64_MAX);
    hear_all(fds, 1, NULL);
    look(fd);
    agree();
    hang_up(fd);
    finish();
}

static const struct test tests[] = {
    {"on the console and to Prometheus", told},
};
MODES_MAIN(tests)
