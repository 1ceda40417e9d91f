#define _GNU_SOURCE
/* The service under chaos: begin, rest, end; and what must hold then. */
#include "events.h"
#include "inject.h"
#include "ledger.h"
#include "peer.h"
#include "space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 100 };

struct chaos chaos;
static uint64_t state;
static bool freezer;
static int port;
static char unix_address[160];

/* What it was at the first rest under this master. */
static struct {
    bool known;
    size_t controller_fds, master_maps, controller_maps;
    uint64_t connects, kills;
} baseline;
static size_t most_master_fds; /* at any rest of this master so far */
static uint32_t log_seen;

uint32_t draw(uint32_t below)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* xorshift64 */
    return below ? (uint32_t)((state >> 32) % below) : 0;
}

static struct service service_of_chaos(void)
{
    static char address[32];
    static const int calls[] = {SYS_clone, SYS_clone3, -1};
    struct service service = a_service();
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    service.listen[0] = address;
    service.listen[1] = unix_address;
    service.config.workers = chaos.workers;
    service.config.max_processes = SLOTS;
    service.config.start_timeout_ms = 3000;
    service.config.respawn_budget = DTM_OFF;
    service.config.drain_idle = DTM_IDLE_KEEP;
    service.config.old_generations = 16; /* as many as bursts of reloads may leave */
    service.config.log_level = DTM_LOG_INFO;
    if (can_inject())
        inject_into(&service, calls);
    keep_ledger(&service);
    return service;
}

/* Who still has connections, and everything that the service has logged lately. */
static void show_log(void)
{
    uint32_t count = GET(shared->log_count);
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        uint64_t number = ledger->base + spawn;
        if (!has(kid_of(spawn), DTM_EVENT_EXIT) &&
            ledger->spawn[number].accepted != ledger->spawn[number].closed)
            fprintf(stderr, "# worker %llu, pid %d: accepted %u, closed %u\n",
                    (unsigned long long)number, kid_of(spawn)->pid,
                    ledger->spawn[number].accepted, ledger->spawn[number].closed);
    }
    for (uint32_t i = count > LOG_LINES ? count - LOG_LINES : 0; i < count; i++)
        fprintf(stderr, "# %s\n", shared->log[i % LOG_LINES]);
}

void begin_master(void)
{
    struct service service = service_of_chaos();
    on_failure = show_log;
    start(&service);
    port = shared->port[0];
}

void note_master(void)
{
    memset(&baseline, 0, sizeof baseline);
    most_master_fds = 0;
    log_seen = 0;
}

void calm(void)
{
    WAIT(count_open(0) == chaos.workers && count_role(DTM_ROLE_WORKER) == chaos.workers &&
         controller() && count_role(DTM_ROLE_CONTROLLER) == 1);
}

void chaos_begin(uint32_t seed)
{
    state = seed * 0x9e3779b97f4a7c15u + 1;
    ledger = shared_memory(sizeof *ledger);
    snprintf(unix_address, sizeof unix_address, "unix:%s/service", scratch());
    chaos.workers = 4;
    freezer = freezer_begin();
    begin_master();
    load_begin(port, unix_address + 5);
    WAIT(LOAD_SUM(answered) > 50);
}

void chaos_event(void)
{
    unsigned sum = 0, at;
    for (size_t i = 0; i < event_count; i++)
        sum += events[i].weight;
    at = draw(sum);
    for (size_t i = 0; i < event_count; i++) {
        if (at >= events[i].weight) {
            at -= events[i].weight;
            continue;
        }
        if (!freezer && !strcmp(events[i].name, "freeze_and_thaw"))
            return;
        if (getenv("DTM_CHAOS_TRACE"))
            fprintf(stderr, "# %u: %s\n", chaos.events, events[i].name);
        events[i].happens();
        events[i].done++;
        chaos.events++;
        break;
    }
    if (LOAD_SUM(unexplained) || LOAD_SUM(wrong) || LOAD_SUM(late) || LOAD_SUM(refused))
        fail_at(__FILE__, __LINE__,
                "after %u events: %llu failures nobody can explain, %llu wrong answers, "
                "%llu too late, %llu refused; the first: %s",
                chaos.events, (unsigned long long)LOAD_SUM(unexplained),
                (unsigned long long)LOAD_SUM(wrong), (unsigned long long)LOAD_SUM(late),
                (unsigned long long)LOAD_SUM(refused), ledger->first_failure);
}

/* Each spawn has its own two numbers and no sum beside them: it may be killed between. */
static uint64_t accepted(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i <= ledger->base + GET(shared->last_spawn); i++)
        sum += GET(ledger->spawn[i].accepted);
    return sum;
}

/* Connections of those who live: the dead have lost theirs. */
static uint64_t open_now(void)
{
    uint64_t sum = 0;
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        uint64_t i = ledger->base + spawn;
        if (!has(kid_of(spawn), DTM_EVENT_EXIT))
            sum += GET(ledger->spawn[i].accepted) - GET(ledger->spawn[i].closed);
    }
    return sum;
}

static void check_log(void)
{
    uint32_t count = GET(shared->log_count);
    for (; log_seen < count; log_seen++) {
        const char *line = shared->log[log_seen % LOG_LINES];
        if (strstr(line, "panic") || strstr(line, "internal error") ||
            strstr(line, "malformed"))
            fail_at(__FILE__, __LINE__, "in the log: %s", line);
    }
}

/* Who answered had an open gate, and nobody ended otherwise than expected. */
static void check_spawns(void)
{
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        const struct kid *kid = kid_of(spawn);
        if (GET(ledger->spawn[ledger->base + spawn].answered))
            CHECK(has(kid, DTM_EVENT_OPEN));
        if (!has(kid, DTM_EVENT_EXIT))
            continue;
        bool doomed = ledger->spawn[ledger->base + spawn].doomed;
        int status = kid->status;
        if (status != 0 && status != SIGKILL && !(status & SIGABRT) &&
            status != DTM_EXIT_INIT << 8)
            fail_at(__FILE__, __LINE__, "spawn %llu ended with %x", (unsigned long long)spawn,
                    (unsigned)status);
        if (status == SIGKILL && kid->role == DTM_ROLE_WORKER && has(kid, DTM_EVENT_OPEN))
            CHECK(doomed); /* no false kill by the master */
    }
}

void chaos_rest(void)
{
    load_pause(true);
    calm();
    CHECK_EQ(command("reopen"), DTM_OK);
    struct kid *boss = controller();

    /* Every connection that was made was accepted, and has ended. */
    WAIT(open_now() == 0);
    uint64_t missing = LOAD_SUM(connects) - accepted(), kills = GET(ledger->kills);
    CHECK_LE(missing - baseline.connects, baseline.known ? kills - baseline.kills : 1000);

    /* Nothing is left over. */
    pid_t left[64];
    size_t others = survivors(left, 64);
    if (others != KINDS + 1 + chaos.workers + 1)
        fail_at(__FILE__, __LINE__, "%zu processes at rest, expected %u", others,
                KINDS + 2 + chaos.workers);
    for (size_t i = 0; i < others && i < 64; i++)
        CHECK(state_of(left[i]) != 'Z');
    WAIT(!baseline.known || count_fds(boss->pid) <= baseline.controller_fds);
    size_t master_fds = count_fds(shared->host);
    if (!baseline.known) {
        baseline.known = true;
        baseline.controller_fds = count_fds(boss->pid);
        baseline.master_maps = count_maps(shared->host);
    }
    /* A slot that had a worker keeps a socket for the next one: there are only so many. */
    if (master_fds > most_master_fds)
        most_master_fds = master_fds;
    CHECK_LE(master_fds, 5 * SLOTS + 64);
    CHECK_LE(count_maps(shared->host), baseline.master_maps + 16);
    baseline.connects = missing;
    baseline.kills = kills;
    check_spawns();
    check_log();
    if (own_space) {
        CHECK_EQ(net_counter("ListenOverflows"), 0);
        CHECK_EQ(net_counter("ListenDrops"), 0);
    }
    chaos.rests++;
    load_pause(false);
}

void chaos_end(void)
{
    load_end();
    finish();
    freezer_end();
}
