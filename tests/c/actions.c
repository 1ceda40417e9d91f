#include "actions.h"

#include <errno.h>
#include <inttypes.h>
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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
    snprintf(line, sizeof line, "exec sqlite3 -batch %s", store_path());
    FILE *pipe = popen(line, mode);
    CHECK(pipe);
    return pipe;
}

void sql(FILE *pipe, const char *text)
{
    fprintf(pipe, "%s\n", text);
    fflush(pipe);
}

/* ---- in the controller ---------------------------------------------------- */

static dtm_str_t text_of(const char *text)
{
    return (dtm_str_t){text, strlen(text)};
}

static void note(const dtm_phase_t *phase, int callback)
{
    struct effect effect = {phase->id,
                            callback,
                            (int)phase->phase,
                            (int)phase->attempt,
                            (int)phase->step,
                            (int)phase->timed_out,
                            (int)phase->resumed,
                            phase->status,
                            phase->cause,
                            (int)getpid(),
                            ""};
    CHECK_EQ(phase->size, sizeof *phase);
    CHECK(phase->token.len < sizeof effect.token);
    memcpy(effect.token, phase->token.ptr, phase->token.len);
    uint32_t at = ADD(ledger->count, 1) - 1;
    CHECK(at < EFFECTS);
    ledger->effect[at] = effect;
}

static const char *counter(const dtm_phase_t *phase)
{
    static char key[32];
    snprintf(key, sizeof key, "count-%" PRIu64, phase->id);
    return key;
}

/* Has the counter to be read first? Then the callback is called once more. */
static bool must_fetch(const dtm_phase_t *phase)
{
    int32_t code = dtm_txn_fetch(phase->txn, text_of(counter(phase)));
    CHECK(code == DTM_OK || code == -EAGAIN);
    return code == -EAGAIN;
}

/* One more in the transaction: lost or doubled, it would not be what is expected. */
static int count(const dtm_phase_t *phase)
{
    char value[16];
    const char *key = counter(phase);
    size_t len = 0;
    int32_t code = dtm_txn_get(phase->txn, text_of(key), value, sizeof value - 1, &len);
    CHECK(code == DTM_OK || code == -ENOENT);
    value[code == DTM_OK ? len : 0] = 0;
    int number = atoi(value) + 1;
    snprintf(value, sizeof value, "%d", number);
    CHECK_EQ(dtm_txn_put(phase->txn, text_of(key), text_of(value)), DTM_OK);
    return number;
}

static void on_answer(dtm_t *rt, uint64_t id, int32_t status, const char *text, void *data)
{
    (void)id, (void)text;
    SET(ledger->command_status, status);
    ADD(ledger->commands, 1);
    dtm_action_wake(rt, (uint64_t)(uintptr_t)data, status);
}

static void send_command(dtm_t *rt, const dtm_phase_t *phase, uint32_t kind, uint64_t arg)
{
    dtm_command_t command = DTM_COMMAND_INIT;
    command.kind = kind;
    command.arg = arg;
    CHECK_EQ(dtm_command(rt, &command, on_answer, (void *)(uintptr_t)phase->id, NULL), DTM_OK);
}

/* G13: however long a phase takes, and whoever dies meanwhile, it sees one list. */
static void watch_workers(dtm_t *rt)
{
    static dtm_worker_t before[64], after[64];
    uint32_t count = 0, again = 0;
    CHECK_EQ(dtm_workers(rt, before, sizeof before[0], 64, &count), DTM_OK);
    SET(ledger->commands, 1);
    while (!GET(ledger->release))
        usleep(1000);
    CHECK_EQ(dtm_workers(rt, after, sizeof after[0], 64, &again), DTM_OK);
    CHECK_EQ(again, count);
    for (uint32_t i = 0; i < count; i++)
        CHECK(before[i].spawn == after[i].spawn && before[i].state == after[i].state);
}

/* G08 */
static void fork_and_try(dtm_t *rt, const dtm_phase_t *phase)
{
    pid_t pid = fork();
    if (pid == 0) {
        bool none =
            dtm_action_start(rt, "steps", text_of(""), NULL, NULL, NULL) == DTM_EFORKED &&
            dtm_txn_put(phase->txn, text_of("a"), text_of("b")) == DTM_EFORKED &&
            dtm_txn_native(phase->txn) == NULL;
        _exit(none ? 0 : 1);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    SET(ledger->release, 1);
}

#ifdef HAVE_SQLITE
/* G09: with the one SQLite that this process has. */
static void native_sql(const dtm_phase_t *phase)
{
    char text[128];
    void *db = dtm_txn_native(phase->txn);
    snprintf(text, sizeof text, "INSERT INTO mine VALUES(%u)", phase->attempt);
    CHECK_EQ(sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS mine(attempt)", NULL, NULL, NULL), 0);
    CHECK_EQ(sqlite3_exec(db, text, NULL, NULL, NULL), 0);
}
#endif

static void no_answer(dtm_t *rt, uint64_t id, int32_t status, const char *text, void *data)
{
    (void)rt, (void)id, (void)status, (void)text, (void)data;
    CHECK(!"called though it was refused");
}

static int32_t special(dtm_t *rt, const dtm_phase_t *phase)
{
    char args[256], word[32] = "";
    int number = 0;
    snprintf(args, sizeof args, "%.*s", (int)phase->args.len, phase->args.ptr);
    sscanf(args, "%31s %d", word, &number);
    uint64_t ms = (uint64_t)number;
    if (!strcmp(word, "wait"))
        CHECK_EQ(dtm_action_wait(phase, DTM_WAIT_TIME, ms), DTM_OK);
    else if (!strcmp(word, "updated"))
        CHECK_EQ(dtm_action_wait(phase, DTM_WAIT_UPDATED, ms), DTM_OK);
    else if (!strcmp(word, "drained"))
        CHECK_EQ(dtm_action_wait(phase, DTM_WAIT_DRAINED, ms), DTM_OK);
    else if (!strcmp(word, "go"))
        CHECK_EQ(dtm_action_wait(phase, DTM_WAIT_GO, ms), DTM_OK);
    else if (!strcmp(word, "jump") && phase->step < 10)
        CHECK_EQ(dtm_action_jump(phase, (uint32_t)number), DTM_OK);
    else if (!strcmp(word, "again") && phase->step <= ms)
        return DTM_ACTION_AGAIN;
    else if (!strcmp(word, "done"))
        return DTM_ACTION_DONE;
    else if (!strcmp(word, "fail"))
        return DTM_ACTION_FAIL;
    else if (!strcmp(word, "error") && (int)phase->attempt <= number)
        return -EIO;
    else if (!strcmp(word, "kill") && (int)phase->attempt <= number)
        kill(getpid(), SIGKILL);
    else if (!strcmp(word, "hang") && (int)phase->attempt <= number)
        while (!GET(ledger->release))
            usleep(1000);
    else if (!strcmp(word, "start"))
        CHECK_EQ(dtm_action_start(rt, "steps", text_of(""), NULL, NULL, NULL), DTM_OK);
    else if (!strcmp(word, "workers"))
        watch_workers(rt);
    else if (!strcmp(word, "nofork") && !phase->resumed) {
        send_command(rt, phase, DTM_CMD_NOFORK, ms);
        return DTM_ACTION_PENDING;
    } else if (!strcmp(word, "pending") && !phase->resumed) {
        if (number)
            CHECK_EQ(dtm_action_wait(phase, DTM_WAIT_TIME, ms), DTM_OK);
        return DTM_ACTION_PENDING;
    } else if (!strcmp(word, "fork")) {
        fork_and_try(rt, phase);
#ifdef HAVE_SQLITE
    } else if (!strcmp(word, "sql")) {
        native_sql(phase);
        return (int)phase->attempt <= number ? -EIO : DTM_ACTION_NEXT;
#endif
    } else if (!strcmp(word, "misuse")) {
        dtm_phase_t other = *phase;
        CHECK_EQ(dtm_action_jump(&other, 0), DTM_EROLE);
        CHECK_EQ(dtm_action_jump(phase, PHASES), DTM_EINVAL);
        CHECK_EQ(dtm_action_wait(phase, 99, 0), DTM_EINVAL);
        CHECK_EQ(dtm_txn_put(NULL, text_of("a"), text_of("b")), DTM_EROLE);
        CHECK_EQ(dtm_txn_fetch(NULL, text_of("a")), DTM_EROLE);
        CHECK_EQ(dtm_txn_fetch(phase->txn, text_of("")), DTM_EINVAL);
        CHECK_EQ(dtm_txn_put(phase->txn, text_of(""), text_of("b")), DTM_EINVAL);
        CHECK_EQ(dtm_action_control(rt, phase->id, DTM_VERB_PAUSE, NULL, NULL), DTM_EROLE);
        CHECK_EQ(dtm_action_start(rt, "steps", text_of(""), no_answer, NULL, NULL), DTM_EINVAL);
        CHECK(dtm_txn_native(phase->txn) != NULL);
    }
    return DTM_ACTION_NEXT;
}

static int32_t act(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    CHECK(data == ledger);
    if (must_fetch(phase))
        return DTM_ACTION_PENDING;
    SET(ledger->in_phase, 1);
    note(phase, 1);
    int32_t code = phase->phase == 1 ? special(rt, phase) : DTM_ACTION_NEXT;
    if (code != DTM_ACTION_PENDING)
        ledger->counted[phase->id % EFFECTS] = count(phase);
    SET(ledger->in_phase, 0);
    return code;
}

static int32_t prepare(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    (void)rt, (void)data;
    if (must_fetch(phase))
        return DTM_ACTION_PENDING;
    note(phase, 0);
    count(phase);
    return DTM_ACTION_NEXT;
}

static int32_t mend(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    char args[64];
    (void)rt, (void)data;
    note(phase, 2);
    snprintf(args, sizeof args, "%.*s", (int)phase->args.len,
             phase->args.ptr); /* not terminated */
    if (strstr(args, "mend"))
        CHECK_EQ(dtm_action_jump(phase, 2), DTM_OK);
    return DTM_ACTION_NEXT;
}

/* ---- in the host ----------------------------------------------------------- */

void register_actions(dtm_t *rt)
{
    dtm_action_t action = DTM_ACTION_INIT;
    CHECK_EQ(dtm_action_register(rt, &action), DTM_EINVAL); /* no name */
    action.name = "steps";
    CHECK_EQ(dtm_action_register(rt, &action), DTM_EINVAL); /* no phases */
    action.phases = PHASES;
    CHECK_EQ(dtm_action_register(rt, &action), DTM_EINVAL); /* no callback */
    action.action = act;
    action.data = ledger;
    action.attempts = 3;
    CHECK_EQ(dtm_action_register(rt, &action), DTM_OK);
    CHECK_EQ(dtm_action_register(rt, &action), -EEXIST);
    action.name = "dtm-mine";
    CHECK_EQ(dtm_action_register(rt, &action), DTM_EINVAL);
    action.name = "careful";
    action.preaction = prepare;
    action.failed = mend;
    CHECK_EQ(dtm_action_register(rt, &action), DTM_OK);
}

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
