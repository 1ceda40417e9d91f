#include "actions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ledger *ledger;

const char *store_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/actions.db", scratch());
    return path;
}

void remove_store(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char path[160];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s%s", store_path(), ends[i]);
        unlink(path);
    }
}

bool is_store(int fd)
{
    char link[32], path[160];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    return strstr(path, "/actions.db") != NULL;
}

FILE *sqlite(const char *mode)
{
    char line[256];
    snprintf(line, sizeof line, "exec sqlite3 -batch -cmd '.timeout 10000' %s", store_path());
    FILE *pipe = popen(line, mode);
    CHECK(pipe);
    return pipe;
}

void sql(FILE *pipe, const char *text)
{
    fprintf(pipe, "%s\n", text);
    fflush(pipe);
}

/* ---- in the host ----------------------------------------------------------- */

void start_again(const struct service *service)
{
    memset(shared->kid, 0, sizeof shared->kid);
    memset(shared->action, 0, sizeof shared->action);
    shared->last_spawn = 0;
    shared->log_count = 0;
    shared->acting = 0;
    start(service);
}

struct service acting_service(void)
{
    static char uri[160];
    struct service service = a_service();
    snprintf(uri, sizeof uri, "sqlite:%s", store_path());
    service.config.store = uri;
    service.config.respawn_delay_ms = 1;
    service.config.respawn_delay_max_ms = 1;
    service.config.respawn_budget = DTM_OFF;
    service.setup = register_actions;
    if (!ledger)
        ledger = shared_memory(sizeof *ledger);
    memset(ledger, 0, sizeof *ledger);
    SET(shared->wants_actions, 1);
    return service;
}

void start_acting(void)
{
    struct service service = acting_service();
    start(&service);
}

void finish_acting(void)
{
    finish();
    remove_store();
}

/* ---- in the driver --------------------------------------------------------- */

static uint64_t begin(const char *format, va_list list)
{
    char line[256];
    vsnprintf(line, sizeof line, format, list);
    int id;
    WAIT((id = command("action %s", line)) != -EBUSY); /* the store is not open yet */
    if (id <= 0)
        fail_at(__FILE__, __LINE__, "action %s: %d %s", line, id, detail);
    return ledger->last_begun = (uint64_t)id;
}

uint64_t begin_action(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    uint64_t id = begin(format, list);
    va_end(list);
    return id;
}

uint64_t begin_until(uint32_t state, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    uint64_t id = begin(format, list);
    va_end(list);
    WAIT_STATE(id, state);
    return id;
}

void let_go(uint64_t id)
{
    CHECK_EQ(command("verb %d %d", (int)id, DTM_VERB_GO), DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
}

uint64_t surely_begin(const char *line)
{
    for (;;) {
        int inits = GET(shared->controller_inits), operator= ask_command(line);
        const char *answer = hear(operator);
        int id = answer ? atoi(answer) : 0;
        hang_up(operator);
        if (id > 0)
            return ledger->last_begun = (uint64_t)id;
        if (answer) {
            CHECK(id == -EBUSY);
            continue;
        }
        /* It was killed: has it begun? */
        WAIT(GET(shared->controller_inits) > inits && controller());
        WAIT(command("store") == DTM_OK);
        int passes = GET(shared->passes);
        WAIT(GET(shared->passes) > passes + 1);
        uint64_t last = 0;
        for (int i = 0; i < ACTIONS; i++)
            if (shared->action[i].id > last)
                last = shared->action[i].id;
        if (last > ledger->last_begun) {
            ledger->last_begun = last;
            return last;
        }
    }
}

struct action *action_of(uint64_t id)
{
    static struct action none;
    struct action *action = &shared->action[id % ACTIONS];
    return GET(action->id) == id ? action : &none;
}

uint32_t effects_of(uint64_t id, int phase)
{
    uint32_t count = 0, all = GET(ledger->count);
    for (uint32_t i = 0; i < all; i++)
        if (ledger->effect[i].id == id && (phase < 0 || (ledger->effect[i].callback == 1 &&
                                                         ledger->effect[i].phase == phase)))
            count++;
    return count;
}

struct effect *nth_effect(uint64_t id, uint32_t n)
{
    uint32_t all = GET(ledger->count);
    for (uint32_t i = 0; i < all; i++)
        if (ledger->effect[i].id == id && n-- == 0)
            return &ledger->effect[i];
    fail_at(__FILE__, __LINE__, "action %" PRIu64 " has no such effect", id);
}

void check_promise(uint64_t id, int steps)
{
    int step = -1;
    const struct effect *last = NULL;
    CHECK_EQ(action_of(id)->state, DTM_INSTANCE_DONE);
    CHECK_EQ(action_of(id)->step, steps);
    for (uint32_t i = 0; i < effects_of(id, -1); i++) {
        const struct effect *effect = nth_effect(id, i);
        if (effect->step == step) { /* repeated */
            CHECK(effect->attempt > last->attempt ||
                  (effect->attempt == last->attempt && effect->resumed > last->resumed));
            CHECK(strcmp(effect->token, last->token) == 0);
            CHECK(effect->phase == last->phase && effect->callback == last->callback);
        } else {
            CHECK_EQ(effect->step, step + 1); /* none skipped */
            CHECK_LE(1, effect->attempt);
            CHECK(!last || strcmp(effect->token, last->token) != 0);
        }
        step = effect->step;
        last = effect;
    }
    CHECK_EQ(step, steps - 1);
    CHECK_EQ(ledger->counted[id % EFFECTS], steps);
}
