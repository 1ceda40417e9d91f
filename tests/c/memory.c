#include "memory.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct memory *memory;

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

bool is_open(void)
{
    struct pollfd fd = {memory->gate, POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
}

void shut(void)
{
    eventfd_t value;
    CHECK_EQ(eventfd_read(memory->gate, &value), 0);
}

void open_again(void)
{
    CHECK_EQ(eventfd_write(memory->gate, 1), 0);
}

static void lock(void)
{
    while (__atomic_exchange_n(&memory->lock, 1, __ATOMIC_SEQ_CST))
        usleep(100);
}

static void unlock(void)
{
    SET(memory->lock, 0);
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

static bool is_refused(void)
{
    if (GET(memory->refuse_nth) == 0 || ADD(memory->refuse_nth, -1) != 0)
        return false;
    if (GET(memory->refuse) == 0)
        shut();
    return true;
}

/* With the version that is the last one now. */
static void put(dtm_str_t key, dtm_str_t value)
{
    struct record *record = find(key);
    for (record = record ? record : memory->record; record->key_len; record++)
        if (is(record, key))
            break;
    CHECK(record < memory->record + RECORDS);
    CHECK(key.len <= KEY && value.len <= VALUE);
    record->key_len = key.len;
    memcpy(record->key, key.ptr, key.len);
    record->len = value.len;
    if (value.len)
        memcpy(record->value, value.ptr, value.len);
    record->version = memory->version;
}

static int32_t write_all(void)
{
    if (is_refused())
        return memory->refuse;
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
        put(now.writes[i].key, now.writes[i].value);
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
        lock();
        now.code = carry_out();
        unlock();
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

/* Of a store that hosts share. */
static int32_t begin_transaction(void *store, void **ret_native, uint32_t timeout_ms)
{
    (void)timeout_ms;
    *ret_native = store;
    return 0;
}

static int32_t roll_back(void *store, uint32_t timeout_ms)
{
    (void)store, (void)timeout_ms;
    ADD(memory->rollbacks, 1);
    return 0;
}

static int32_t lease(void *store, dtm_str_t name, dtm_str_t owner, uint32_t ttl_ms,
                     uint32_t timeout_ms)
{
    (void)store, (void)ttl_ms, (void)timeout_ms;
    lock();
    memory->version++;
    put(name, owner);
    unlock();
    ADD(memory->leases, 1);
    return 0;
}

static int32_t give_back(void *store, dtm_str_t name, dtm_str_t owner, uint32_t timeout_ms)
{
    (void)store, (void)name, (void)owner, (void)timeout_ms;
    ADD(memory->given_back, 1);
    return 0;
}

static bool shares;

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
    if (shares) {
        store.begin = begin_transaction;
        store.rollback = roll_back;
        store.lease = lease;
        store.unlease = give_back;
    }
    CHECK_EQ(dtm_store_register(rt, &store), DTM_OK);
    register_actions(rt);
}

struct service with_memory(uint32_t timeout_ms)
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

struct service with_shared_memory(void)
{
    struct service service = with_memory(600 * 1000);
    shares = true;
    service.config.store_timeout_ms = 5 * 1000;
    service.config.fleet_lease_ms = 3600 * 1000;
    service.config.name = "x";
    service.config.host = "a";
    return service;
}

static dtm_str_t text_of(const char *text)
{
    return (dtm_str_t){text, strlen(text)};
}

void plant(const char *key, const char *value)
{
    lock();
    memory->version++;
    put(text_of(key), text_of(value));
    unlock();
}

bool planted(const char *key, char *ret_value)
{
    lock();
    struct record *record = find(text_of(key));
    if (record) {
        CHECK(record->len < VALUE);
        memcpy(ret_value, record->value, record->len);
        ret_value[record->len] = 0;
    }
    unlock();
    return record != NULL;
}
