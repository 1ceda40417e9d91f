/*
 * A new generation, all or nothing, and nobody outside notices.
 * flow: M8, M16, M17, M20, W2, W4, C4, L3, L5, L15
 * faults: D01, D02, D15, D16, R1, R2, R3, R4
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__ /* keeps freed memory for a while */
enum { SANITIZED = 1 << 20 };
#else
enum { SANITIZED = 0 };
#endif

static void check_load(const struct load *load)
{
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->reset, 0);
    CHECK_EQ(load->lost, 0);
    CHECK_EQ(load->wrong, 0);
}

/* R1: no process lives on from before the last generation but one. */
static void none_older_than(uint32_t generation)
{
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->role == DTM_ROLE_WORKER && kid->generation < generation)
            WAIT(!runs(kid->pid));
    }
}

static void hundred_under_load(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("pid"), controller()->pid);
    size_t fds = 0, maps = 0; /* a slot that had a worker keeps a socket for the next */
    struct load *load = load_start(4);
    for (int i = 1; i <= 100; i++) {
        int answered = GET(load->answered);
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK_EQ(count_open((uint32_t)i + 1), 3);
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
        none_older_than((uint32_t)i);
        WAIT(GET(load->answered) > answered + 20);
        if (i == 10)
            maps = count_maps(shared->host), fds = count_fds(shared->host);
    }
    load_stop(load);
    check_load(load);
    CHECK_LE(count_fds(shared->host), fds); /* the master may have held clients then */
    CHECK(count_maps(shared->host) <= maps + 1);
    CHECK_EQ(shared->config_loads, 101);
    finish();
    CHECK_EQ(shared->result.reloads, 100);
    CHECK_EQ(shared->result.deaths, 0);
    CHECK_EQ(shared->opened, shared->closed[DTM_CLOSE_DONE] + shared->closed[DTM_CLOSE_PEER] +
                                 shared->closed[DTM_CLOSE_DRAIN]);
}

/* What a reload must not touch when it fails. */
struct before {
    uint64_t spawns[3];
    struct load *load;
};

static struct before a_running_service(struct service *service)
{
    struct before before;
    start(service);
    for (uint32_t i = 0; i < 3; i++)
        before.spawns[i] = nth_open(i)->spawn;
    before.load = load_start(2);
    return before;
}

static void still_serves(struct before *before)
{
    int answered = GET(before->load->answered);
    WAIT(GET(before->load->answered) > answered + 20);
    load_stop(before->load);
    check_load(before->load);
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(nth_open(i)->spawn, before->spawns[i]);
    /* And the next one, with the trouble gone, succeeds. */
    shared->init_trouble = NO_TROUBLE;
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 3 && count_open(0) == 3);
    finish();
    CHECK_EQ(shared->result.reloads, 1);
    CHECK_EQ(shared->result.failed_reloads, 1);
}

static void init_trouble(enum trouble trouble, uint32_t start_timeout_ms)
{
    struct service service = a_service();
    service.config.start_timeout_ms = start_timeout_ms;
    struct before before = a_running_service(&service);
    shared->init_trouble = trouble;
    shared->init_generation = 2;
    shared->exit_status = 0;
    CHECK_EQ(command("reload"), DTM_EFAILED);
    CHECK(strstr(detail, "of the new generation") && strstr(detail, "generation 1 serves on"));
    CHECK(strstr(detail, "the init callback has trouble"));
    WAIT(GET(shared->reloads) == 1);
    CHECK_EQ(shared->reload_status, DTM_EFAILED);
    CHECK(shared->config_reverts >= 1);
    still_serves(&before);
}

static void init_fails(void)
{
    init_trouble(FAIL, 0);
}

static void init_aborts(void)
{
    init_trouble(ABORT, 0);
}

static void init_exits(void)
{
    init_trouble(EXIT, 0);
}

static void init_hangs(void)
{
    init_trouble(HANG, 2000);
}

static void config_fails(void)
{
    struct service service = a_service();
    struct before before = a_running_service(&service);
    uint64_t spawns = shared->last_spawn;
    shared->config_fails = 1;
    CHECK(command("reload") < 0);
    CHECK_EQ(shared->last_spawn, spawns); /* nothing was forked */
    CHECK_EQ(shared->config_reverts, 0);
    still_serves(&before);
}

static void update_never_succeeds(void)
{
    struct service service = a_service();
    service.config.start_timeout_ms = 2000;
    struct before before = a_running_service(&service);
    shared->update_agains = 1 << 30;
    CHECK_EQ(command("reload"), DTM_EFAILED);
    shared->update_agains = 0;
    still_serves(&before);
}

static void unhealthy(void)
{
    struct service service = a_service();
    service.config.start_timeout_ms = 2000;
    struct before before = a_running_service(&service);
    shared->health_fails = 1 << 30;
    CHECK_EQ(command("reload"), DTM_EFAILED);
    shared->health_fails = 0;
    still_serves(&before);
}

/* A reload that stands at its first step. */
static void hanging_reload(uint32_t start_timeout_ms)
{
    struct service service = a_service();
    service.config.canary = DTM_OFF;
    service.config.start_timeout_ms = start_timeout_ms;
    start(&service);
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    kill(shared->host, SIGHUP);
    WAIT(count_role(DTM_ROLE_WORKER) == 6);
}

/* M17: during a reload both generations exist, each in slots of its own. */
static void two_generations(void)
{
    hanging_reload(2000);
    CHECK_EQ(count_open(1), 3);
    for (uint64_t a = 1; a <= shared->last_spawn; a++)
        for (uint64_t b = a + 1; b <= shared->last_spawn; b++)
            CHECK(kid_of(a)->slot != kid_of(b)->slot);
    /* A worker of the old one that dies now is replaced when the reload is decided:
     * until then the configuration in memory is the new one's. */
    end_kid(nth_open(0), SIGKILL);
    CHECK(serves());
    WAIT(GET(shared->reloads) == 1);
    CHECK_EQ(shared->reload_status, DTM_EFAILED);
    WAIT(count_open(1) == 3 && count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.reloads, 0);
}

/* If nobody else is left, it is not waited for. */
static void old_generation_never_dies_out(void)
{
    hanging_reload(DTM_OFF);
    struct kid *old[3] = {nth_open(0), nth_open(1), nth_open(2)};
    for (int i = 0; i < 3; i++)
        end_kid(old[i], SIGKILL);
    WAIT(count_open(1) >= 1);
    CHECK(serves());
    finish();
}

/* Another reload meanwhile is refused; a shutdown is not. */
static void reload_and_shutdown_meanwhile(void)
{
    hanging_reload(DTM_OFF);
    CHECK_EQ(command("reload"), -EBUSY);
    finish();
    CHECK_EQ(shared->result.reloads, 0);
}

/* W4, L15: a busy client of the old generation is served to its end by it. */
static void busy_clients_finish(void)
{
    struct service service = a_service();
    start(&service);
    int busy = dial(shared->port[0]), idle = dial(shared->port[0]);
    struct kid *kid = kid_at(busy), *other = kid_at(idle);
    ask(busy, "busy");
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(!hear(idle)); /* closed at once, or answered and then closed */
    WAIT(kid->drains == 1);
    CHECK(runs(kid->pid));
    CHECK_EQ(shared->drains, 1);
    int fresh = dial(shared->port[0]);
    CHECK_EQ(who(fresh).generation, 2);
    struct who answer = who(busy);
    CHECK_EQ(answer.generation, 1);
    CHECK(!hear(busy)); /* idle now, so the drain has closed it */
    WAIT(has(kid, DTM_EVENT_EXIT) && has(other, DTM_EVENT_EXIT));
    CHECK_EQ(kid->status, 0);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 2);
    hang_up(busy), hang_up(idle), hang_up(fresh);
    finish();
}

/* L3, C5: workers of the new generation have the new version before they open. */
static void new_version_before_the_gate(void)
{
    struct service service = a_service();
    start(&service);
    struct load *load = load_start(3);
    for (int version = 2; version <= 6; version++) {
        SET(shared->version, version);
        CHECK_EQ(command("reload"), DTM_OK);
        end_kid(nth_open(1), SIGKILL);
        WAIT(count_open((uint32_t)version) == 3);
        WAIT(count_role(DTM_ROLE_WORKER) == 3);
    }
    load_stop(load);
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->opened_with)
            CHECK_EQ(kid->opened_with, kid->generation);
    }
    finish();
}

/* Memory of its own, in kB: what the test itself shares with it grows with its log. */
static long resident(pid_t pid)
{
    char path[64], line[256];
    long size = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK(file);
    while (size < 0 && fgets(line, sizeof line, file))
        sscanf(line, "RssAnon: %ld", &size);
    fclose(file);
    CHECK(size >= 0);
    return size;
}

/* D15: half of them fail: what the processes hold stays the same. */
static void two_hundred_with_failures(void)
{
    long memory = 0;
    struct service service = a_service();
    start(&service);
    size_t fds = 0, boss_fds = 0, maps = 0;
    for (int i = 0; i < 200; i++) {
        shared->init_trouble = i % 2 ? FAIL : NO_TROUBLE;
        CHECK_EQ(command("reload"), i % 2 ? DTM_EFAILED : DTM_OK);
        WAIT(count_role(DTM_ROLE_WORKER) == 3 && count_open(0) == 3);
        if (i < 8) {
            fds = count_fds(shared->host);
            boss_fds = count_fds(controller()->pid);
            maps = count_maps(shared->host);
        }
        if (i == 40)
            memory = resident(shared->host);
    }
    CHECK_EQ(count_fds(shared->host), fds);
    CHECK_LE(resident(shared->host), memory + 160 + SANITIZED);
    WAIT(count_fds(controller()->pid) <= boss_fds); /* an operator's may be open still */
    CHECK(count_maps(shared->host) <= maps + 1);
    finish();
    CHECK_EQ(shared->result.reloads, 100);
    CHECK_EQ(shared->result.failed_reloads, 100);
}

/* D16: by signal, after each kind of failure. */
static void the_next_one_works(void)
{
    struct service service = a_service();
    service.config.start_timeout_ms = 1000;
    start(&service);
    int reloads = 0;
    for (int trouble = FAIL; trouble <= EXIT; trouble++) {
        SET(shared->init_trouble, trouble);
        for (int i = 0; i < 2; i++, SET(shared->init_trouble, NO_TROUBLE)) {
            kill(shared->host, SIGHUP);
            reloads++;
            WAIT(GET(shared->reloads) == reloads);
            CHECK_EQ(shared->reload_status, i ? DTM_OK : DTM_EFAILED);
        }
    }
    WAIT(count_open(0) == 3 && count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.reloads, 4);
}

static const struct test tests[] = {
    {"100 reloads under load: nothing refused, reset or lost", hundred_under_load},
    {"worker_init fails", init_fails},
    {"worker_init aborts", init_aborts},
    {"worker_init exits with 0", init_exits},
    {"worker_init hangs", init_hangs},
    {"config_load fails", config_fails},
    {"update_new_worker never succeeds", update_never_succeeds},
    {"worker_health says no", unhealthy},
    {"two generations at once", two_generations},
    {"the old generation does not die out", old_generation_never_dies_out},
    {"reload and shutdown during a reload", reload_and_shutdown_meanwhile},
    {"busy clients finish, idle ones go", busy_clients_finish},
    {"no worker opens with an old version", new_version_before_the_gate},
    {"200 reloads, half of them failing, leak nothing", two_hundred_with_failures},
    {"the next one works", the_next_one_works},
};
TEST_MAIN(tests)
