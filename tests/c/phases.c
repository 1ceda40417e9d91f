/* What the phases of the tests' actions do, in the controller. */
#include "actions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif

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
        if (number < 0 && (int)phase->attempt <= -number)
            return 11; /* means nothing */
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
