/*
 * A store of the service's own that answers later: in memory that all processes share, behind
 * a gate. While the gate is shut, no call has a result: the controller serves on.
 * flow: C12
 */
#include "actions.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RECORDS = 1024, KEY = 256, VALUE = 2048 };

static struct memory {
    int gate; /* an eventfd: readable while the gate is open */
    uint64_t version;
    int calls, given_up, opened;
    int late; /* that write is done, and then the gate is shut before it is told */
    struct record {
        size_t key_len, len;
        uint64_t version;
        char key[KEY], value[VALUE];
    } record[RECORDS];
} * memory;

/* The call that is under way; the plug-in's own, in the controller. */
static struct {
    enum { NOTHING, PING, GET, LIST, WRITE, DONE } call;
    bool waited;
    dtm_str_t key, after;
    size_t limit, count;
    const dtm_write_t *writes;
    uint64_t *ret_version;
    dtm_store_sink_cb emit;
    void *sink;
    int32_t code;
} now;

static bool is_open(void)
{
    struct pollfd fd = {memory->gate, POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
}

static void shut(void)
{
    eventfd_t value;
    CHECK_EQ(eventfd_read(memory->gate, &value), 0);
}

static void open_again(void)
{
    CHECK_EQ(eventfd_write(memory->gate, 1), 0);
}

static int32_t begin(int call)
{
    CHECK(now.call == NOTHING);         /* one at a time */
    CHECK_EQ(GET(ledger->in_phase), 0); /* a phase that has fetched waits for nothing */
    now.call = call;
    now.waited = false;
    ADD(memory->calls, 1);
    return DTM_STORE_AGAIN;
}

static bool is(const struct record *record, dtm_str_t key)
{
    return record->key_len == key.len && memcmp(record->key, key.ptr, key.len) == 0;
}

static struct record *find(dtm_str_t key)
{
    for (int i = 0; i < RECORDS; i++)
        if (memory->record[i].key_len && is(&memory->record[i], key))
            return &memory->record[i];
    return NULL;
}

static void emit(const struct record *record)
{
    now.emit(now.sink, (dtm_str_t){record->key, record->key_len},
             (dtm_str_t){record->value, record->len}, record->version);
}

static int by_key(const void *a, const void *b)
{
    const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;
    size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, len);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static bool is_behind(const struct record *record, dtm_str_t after)
{
    size_t len = record->key_len < after.len ? record->key_len : after.len;
    int order = len ? memcmp(record->key, after.ptr, len) : 0;
    return order ? order > 0 : record->key_len > after.len;
}

static void list_all(void)
{
    struct record *found[RECORDS];
    size_t count = 0;
    for (int i = 0; i < RECORDS; i++) {
        struct record *record = &memory->record[i];
        if (record->key_len > now.key.len && is_behind(record, now.after) &&
            memcmp(record->key, now.key.ptr, now.key.len) == 0)
            found[count++] = record;
    }
    qsort(found, count, sizeof found[0], by_key);
    for (size_t i = 0; i < count && i < now.limit; i++)
        emit(found[i]);
}

static int32_t write_all(void)
{
    for (size_t i = 0; i < now.count; i++) {
        struct record *record = find(now.writes[i].key);
        uint64_t version = record ? record->version : 0;
        if (now.writes[i].expected != DTM_VERSION_ANY && now.writes[i].expected != version)
            return DTM_EGONE;
    }
    *now.ret_version = ++memory->version;
    for (size_t i = 0; i < now.count; i++) {
        struct record *record = find(now.writes[i].key);
        if (now.writes[i].change == DTM_WRITE_DELETE && record)
            record->key_len = 0;
        if (now.writes[i].change != DTM_WRITE_PUT)
            continue;
        for (record = record ? record : memory->record; record->key_len; record++)
            if (is(record, now.writes[i].key))
                break;
        CHECK(record < memory->record + RECORDS);
        CHECK(now.writes[i].key.len <= KEY && now.writes[i].value.len <= VALUE);
        record->key_len = now.writes[i].key.len;
        memcpy(record->key, now.writes[i].key.ptr, record->key_len);
        record->len = now.writes[i].value.len;
        if (record->len)
            memcpy(record->value, now.writes[i].value.ptr, record->len);
        record->version = memory->version;
    }
    if (GET(memory->late) > 0 && ADD(memory->late, -1) == 0)
        shut();
    return 0;
}

static int32_t carry_out(void)
{
    struct record *record;
    switch (now.call) {
    case GET:
        if (!(record = find(now.key)))
            return -ENOENT;
        emit(record);
        return 0;
    case LIST: list_all(); return 0;
    case WRITE: return write_all();
    default: return 0;
    }
}

static int32_t step(void *store, int32_t *ret_fd, uint32_t *ret_interest)
{
    CHECK(store == memory && now.call != NOTHING);
    *ret_fd = memory->gate;
    *ret_interest = DTM_READ;
    if (!now.waited) {
        now.waited = true;
        return DTM_STORE_AGAIN;
    }
    CHECK(is_open()); /* not called for nothing */
    if (now.call != DONE) {
        now.code = carry_out();
        now.call = DONE;
    }
    if (!is_open())
        return DTM_STORE_AGAIN;
    now.call = NOTHING;
    return now.code;
}

static int32_t open_memory(void *data, const char *uri, void **ret_store, char *err,
                           size_t err_len, uint32_t timeout_ms)
{
    (void)err, (void)err_len, (void)timeout_ms;
    CHECK(data == memory && strcmp(uri, "memory:x") == 0);
    ADD(memory->opened, 1);
    *ret_store = memory;
    return begin(PING);
}

static void close_memory(void *store)
{
    CHECK(store == memory);
    if (now.call != NOTHING)
        ADD(memory->given_up, 1);
    now.call = NOTHING;
}

static int32_t ping(void *store, uint32_t timeout_ms)
{
    (void)store, (void)timeout_ms;
    return begin(PING);
}

static int32_t get(void *store, dtm_str_t key, dtm_store_sink_cb emit_cb, void *sink,
                   uint32_t timeout_ms)
{
    (void)store, (void)timeout_ms;
    now.key = key;
    now.emit = emit_cb;
    now.sink = sink;
    return begin(GET);
}

static int32_t list(void *store, dtm_str_t prefix, dtm_str_t after, size_t limit,
                    dtm_store_sink_cb emit_cb, void *sink, uint32_t timeout_ms)
{
    (void)store, (void)timeout_ms;
    now.key = prefix;
    now.after = after;
    now.limit = limit;
    now.emit = emit_cb;
    now.sink = sink;
    return begin(LIST);
}

static int32_t write_records(void *store, const dtm_write_t *writes, size_t count,
                             uint64_t *ret_version, uint32_t timeout_ms)
{
    (void)store, (void)timeout_ms;
    now.writes = writes;
    now.count = count;
    now.ret_version = ret_version;
    return begin(WRITE);
}

static void set_up(dtm_t *rt)
{
    dtm_store_t store = DTM_STORE_INIT;
    store.scheme = "memory";
    store.data = memory;
    store.open = open_memory;
    store.close = close_memory;
    store.ping = ping;
    store.get = get;
    store.list = list;
    store.write = write_records;
    store.step = step;
    CHECK_EQ(dtm_store_register(rt, &store), DTM_OK);
    register_actions(rt);
}

static struct service with_memory(uint32_t timeout_ms)
{
    struct service service = acting_service();
    if (!memory) {
        memory = shared_memory(sizeof *memory);
        CHECK((memory->gate = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0);
    }
    int gate = memory->gate;
    memset(memory, 0, sizeof *memory);
    memory->gate = gate;
    service.setup = set_up;
    service.config.store = "memory:x";
    service.config.store_timeout_ms = timeout_ms;
    return service;
}

static void serves_meanwhile(void)
{
    struct service service = with_memory(600 * 1000);
    start(&service);
    check_promise(begin_until(DTM_INSTANCE_DONE, "careful"), 4);
    shut();
    int operator= ask_command("action steps");
    WAIT(command("pid") == controller()->pid);
    struct kid *kid = nth_open(0);
    end_kid(kid, SIGKILL);
    WAIT(has(kid, DTM_EVENT_EXIT) && count_open(0) == 3); /* its successor is up to date */
    CHECK(serves());
    CHECK_EQ(command("store"), DTM_OK);
    struct pollfd fd = {operator, POLLIN, 0};
    CHECK_EQ(poll(&fd, 1, 0), 0);
    open_again();
    const char *answer = hear(operator);
    CHECK(answer);
    uint64_t id = strtoull(answer, NULL, 10);
    hang_up(operator);
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
    CHECK_EQ(memory->given_up, 0);
    CHECK_EQ(memory->opened, 1);
    finish();
}

/* It is given up at its deadline, said, and tried again; nothing is lost or doubled. */
static void given_up(void)
{
    struct service service = with_memory(300);
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    shut();
    CHECK(command("verb %d %d", (int)id, DTM_VERB_GO) < 0);
    WAIT(command("store") == -ETIMEDOUT);
    CHECK(strstr(detail, "no answer in store_timeout"));
    CHECK_EQ(command("action steps"), -ETIMEDOUT);
    CHECK(serves());
    WAIT(GET(memory->given_up) >= 2);
    CHECK_EQ(effects_of(id, 2), 0);
    open_again();
    WAIT(command("store") == DTM_OK);
    let_go(id);
    CHECK_EQ(shared->controller_inits, 1);
    finish();
}

/* A write is done, and its answer does not come: read again before anything else. */
static void answer_lost(void)
{
    struct service service = with_memory(300);
    start(&service);
    WAIT(command("store") == DTM_OK);
    int lost = 0;
    for (int nth = 1; nth <= 8; nth++) {
        int before = GET(memory->given_up);
        uint64_t id = begin_action("careful wait 100");
        SET(memory->late, nth);
        WAIT(GET(memory->given_up) > before || GET(action_of(id)->state) == DTM_INSTANCE_DONE);
        SET(memory->late, 0);
        if (!is_open()) {
            open_again();
            lost++;
        }
        WAIT_STATE(id, DTM_INSTANCE_DONE);
        check_promise(id, 4);
    }
    CHECK_LE(4, lost);
    CHECK_LE(1, logged("DB_UNKNOWN"));
    finish();
}

/* The controller is killed while a call is under way; the service ends while one is. */
static void killed_meanwhile(void)
{
    struct service service = with_memory(600 * 1000);
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_WAITING, "steps go");
    shut();
    int operator= ask_command("action steps");
    int calls = GET(memory->calls);
    WAIT(command("pid") == controller()->pid && GET(memory->calls) >= calls);
    end_kid(controller(), SIGKILL);
    hang_up(operator);
    WAIT(GET(memory->opened) == 2);
    CHECK(command("store") < 0); /* being opened */
    open_again();
    WAIT(command("store") == DTM_OK);
    let_go(id);
    shut();
    operator= ask_command("action steps");
    WAIT(command("pid") == controller()->pid);
    hang_up(operator); /* else the drain waits for its answer */
    finish();
    open_again();
}

static const struct test tests[] = {
    {"serves meanwhile", serves_meanwhile},
    {"given up", given_up},
    {"an answer is lost", answer_lost},
    {"killed meanwhile", killed_meanwhile},
};
TEST_MAIN(tests)
