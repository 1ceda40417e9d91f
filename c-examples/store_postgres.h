/*
 * store_postgres.h - PostgreSQL as a store of actions: "postgres://user@host/database".
 *
 * A plug-in, for programs that link libpq: store_postgres_register() before dtm_run(). All
 * is asynchronous, with a deadline: a server that is stopped costs store_timeout, not more.
 * Write addresses rather than names, for libpq looks names up without a deadline.
 */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <dtm.h>

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct postgres {
    PGconn *connection;
    int began;
    char error[512];
};

/* The table, and a write: all of it or nothing, one after the other. */
static const char postgres_schema[] =
    "SET client_min_messages = warning;"
    "SELECT pg_advisory_lock(7234781);"
    "CREATE TABLE IF NOT EXISTS dtm_kv(key bytea PRIMARY KEY, value bytea NOT NULL,"
    " version bigint NOT NULL, until timestamptz);"
    "CREATE SEQUENCE IF NOT EXISTS dtm_version;"
    "CREATE OR REPLACE FUNCTION dtm_write(keys bytea[], expected bigint[], contents bytea[],"
    " changes int[]) RETURNS bigint LANGUAGE plpgsql AS $$\n"
    "DECLARE here bigint; mine bigint;\n"
    "BEGIN\n"
    " PERFORM pg_advisory_xact_lock(7234780);\n"
    " FOR i IN 1 .. array_length(keys, 1) LOOP\n"
    "  SELECT version INTO here FROM dtm_kv WHERE key = keys[i];\n"
    "  IF expected[i] <> -1 AND coalesce(here, 0) <> expected[i] THEN\n"
    "   RAISE EXCEPTION 'a version is another' USING ERRCODE = 'DT001';\n"
    "  END IF;\n"
    " END LOOP;\n"
    " mine := nextval('dtm_version');\n"
    " FOR i IN 1 .. array_length(keys, 1) LOOP\n"
    "  IF changes[i] = 1 THEN\n"
    "   INSERT INTO dtm_kv VALUES (keys[i], contents[i], mine) ON CONFLICT (key)\n"
    "    DO UPDATE SET value = excluded.value, version = excluded.version;\n"
    "  ELSIF changes[i] = 2 THEN DELETE FROM dtm_kv WHERE key = keys[i];\n"
    "  END IF;\n"
    " END LOOP;\n"
    " RETURN mine;\n"
    "END $$;"
    "SELECT pg_advisory_unlock(7234781);";

#define POSTGRES_LIVES "(until IS NULL OR until > clock_timestamp())"

/* ---- Calls with a deadline --------------------------------------------------- */

static int64_t postgres_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 1: ready; 0: the time is over. */
static int postgres_poll(struct postgres *store, short events, int64_t deadline)
{
    struct pollfd fd = {PQsocket(store->connection), events, 0};
    int64_t left;
    int ready;

    while ((left = deadline - postgres_now()) > 0)
        if ((ready = poll(&fd, 1, (int)left)) != 0 && !(ready < 0 && errno == EINTR))
            return ready > 0;
    return 0;
}

static int32_t postgres_fail(struct postgres *store, int32_t code, const char *text)
{
    snprintf(store->error, sizeof store->error, "%s", text ? text : "no reason given");
    store->error[strcspn(store->error, "\n")] = 0;
    return code;
}

/* What a failed statement means; `unsure`: what one means whose answer is not known. */
static int32_t postgres_code(const char *state, int32_t unsure)
{
    static const struct {
        const char *state;
        int32_t code;
    } known[] = {
        {"DT001", DTM_EGONE}, {"53100", -ENOSPC},  {"53200", -ENOMEM},  {"25006", -EROFS},
        {"42501", -EACCES},   {"55P03", -EBUSY},   {"40", -EBUSY},      {"XX001", -EBADMSG},
        {"XX002", -EBADMSG},  {"42", DTM_ECONFIG}, {"3D", DTM_ECONFIG},
    };
    size_t i;

    for (i = 0; state && i < sizeof known / sizeof known[0]; i++)
        if (strncmp(state, known[i].state, strlen(known[i].state)) == 0)
            return known[i].code;
    return unsure;
}

/* The last result of what was sent; NULL: `*ret_code` says why. */
static PGresult *postgres_result(struct postgres *store, int64_t deadline, int32_t unsure,
                                 int32_t *ret_code)
{
    PGresult *last = NULL, *result;
    int flushing;

    *ret_code = unsure;
    for (;;) {
        if ((flushing = PQflush(store->connection)) < 0)
            break;
        if (!flushing && !PQisBusy(store->connection)) {
            if (!(result = PQgetResult(store->connection)))
                break;
            if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
                PQclear(result); /* the first failure is what counts */
                continue;
            }
            PQclear(last);
            last = result;
            continue;
        }
        if (!postgres_poll(store, flushing ? POLLIN | POLLOUT : POLLIN, deadline)) {
            PQclear(last);
            postgres_fail(store, 0, "no answer in store_timeout");
            return NULL;
        }
        if (!PQconsumeInput(store->connection))
            break;
    }
    if (last && PQresultStatus(last) != PGRES_FATAL_ERROR &&
        PQresultStatus(last) != PGRES_BAD_RESPONSE)
        return last;
    postgres_fail(store, 0, PQerrorMessage(store->connection));
    *ret_code = postgres_code(last ? PQresultErrorField(last, PG_DIAG_SQLSTATE) : NULL, unsure);
    PQclear(last);
    return NULL;
}

struct postgres_value {
    const void *data;
    size_t len;
};

/* One statement; values go and come as they are. */
static PGresult *postgres_ask(struct postgres *store, const char *sql,
                              const struct postgres_value *values, int count, int text,
                              uint32_t timeout_ms, int32_t unsure, int32_t *ret_code)
{
    const char *data[8];
    int lens[8], formats[8], i;

    for (i = 0; i < count; i++) {
        data[i] = values[i].data ? values[i].data : "";
        lens[i] = (int)values[i].len;
        formats[i] = !text;
    }
    if (!PQsendQueryParams(store->connection, sql, count, NULL, data, lens, formats, 1)) {
        *ret_code = postgres_fail(store, -EIO, PQerrorMessage(store->connection));
        return NULL;
    }
    return postgres_result(store, postgres_now() + timeout_ms, unsure, ret_code);
}

static int32_t postgres_simple(struct postgres *store, const char *sql, uint32_t timeout_ms,
                               int32_t unsure)
{
    int32_t code = -EIO;
    PGresult *result;

    if (!PQsendQuery(store->connection, sql))
        return postgres_fail(store, -EIO, PQerrorMessage(store->connection));
    result = postgres_result(store, postgres_now() + timeout_ms, unsure, &code);
    if (!result)
        return code;
    PQclear(result);
    return 0;
}

static uint64_t postgres_number(const PGresult *result, int row, int column)
{
    const unsigned char *bytes = (const unsigned char *)PQgetvalue(result, row, column);
    uint64_t number = 0;
    int i;

    for (i = 0; i < PQgetlength(result, row, column); i++)
        number = number << 8 | bytes[i];
    return number;
}

/* ---- The store --------------------------------------------------------------- */

static void postgres_close(void *handle)
{
    struct postgres *store = handle;

    PQfinish(store->connection);
    free(store);
}

static int32_t postgres_connect(struct postgres *store, const char *uri, int64_t deadline)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    store->connection = PQconnectStart(uri);
    if (!store->connection || PQstatus(store->connection) == CONNECTION_BAD)
        return postgres_fail(store, DTM_ECONFIG, PQerrorMessage(store->connection));
    while (status != PGRES_POLLING_OK) {
        short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        if (!postgres_poll(store, events, deadline))
            return postgres_fail(store, -ETIMEDOUT, "no connection in store_timeout");
        status = PQconnectPoll(store->connection);
        if (status == PGRES_POLLING_FAILED)
            return postgres_fail(store, -EIO, PQerrorMessage(store->connection));
    }
    PQsetnonblocking(store->connection, 1);
    return 0;
}

static int32_t postgres_open(void *data, const char *uri, void **ret_store, char *err,
                             size_t err_len, uint32_t timeout_ms)
{
    struct postgres *store = calloc(1, sizeof *store);
    int32_t code;

    (void)data;
    if (!store)
        return -ENOMEM;
    code = postgres_connect(store, uri, postgres_now() + timeout_ms);
    if (code == 0)
        code = postgres_simple(store, postgres_schema, timeout_ms, -ETIMEDOUT);
    if (code != 0) {
        snprintf(err, err_len, "%s", store->error);
        postgres_close(store);
        return code;
    }
    *ret_store = store;
    return 0;
}

static const char *postgres_error(void *handle)
{
    return ((struct postgres *)handle)->error;
}

static int32_t postgres_ping(void *handle, uint32_t timeout_ms)
{
    return postgres_simple(handle, "SELECT 1", timeout_ms, -ETIMEDOUT);
}

static int32_t postgres_emit(PGresult *result, dtm_store_sink_cb emit, void *sink)
{
    int row, rows = PQntuples(result);

    for (row = 0; row < rows; row++) {
        dtm_str_t key = {PQgetvalue(result, row, 0), (size_t)PQgetlength(result, row, 0)};
        dtm_str_t value = {PQgetvalue(result, row, 1), (size_t)PQgetlength(result, row, 1)};

        if (emit(sink, key, value, postgres_number(result, row, 2)) != 0)
            break;
    }
    PQclear(result);
    return rows > 0 ? 0 : -ENOENT;
}

static int32_t postgres_get(void *handle, dtm_str_t key, dtm_store_sink_cb emit, void *sink,
                            uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{key.ptr, key.len}};
    int32_t code;
    PGresult *result = postgres_ask(
        handle,
        "SELECT key, value, version FROM dtm_kv WHERE key = $1::bytea AND " POSTGRES_LIVES,
        values, 1, 0, timeout_ms, -ETIMEDOUT, &code);

    return result ? postgres_emit(result, emit, sink) : code;
}

static int32_t postgres_list(void *handle, dtm_str_t prefix, dtm_str_t after, size_t limit,
                             dtm_store_sink_cb emit, void *sink, uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{prefix.ptr, prefix.len}, {after.ptr, after.len}};
    char sql[320];
    int32_t code;
    PGresult *result;

    snprintf(sql, sizeof sql,
             "SELECT key, value, version FROM dtm_kv WHERE key >= $1::bytea AND key > $2::bytea"
             " AND substring(key FROM 1 FOR length($1::bytea)) = $1::bytea AND " POSTGRES_LIVES
             " ORDER BY key LIMIT %zu",
             limit);
    result = postgres_ask(handle, sql, values, 2, 0, timeout_ms, -ETIMEDOUT, &code);
    if (!result)
        return code;
    postgres_emit(result, emit, sink);
    return 0;
}

/* An array of bytea as SQL writes it: {"\\x6162","\\x"}. */
static char *postgres_array(const dtm_write_t *writes, size_t count, int values)
{
    size_t i, j, len = 3;
    char *text, *at;

    for (i = 0; i < count; i++)
        len += 2 * (values ? writes[i].value.len : writes[i].key.len) + 8;
    if (!(text = at = malloc(len)))
        return NULL;
    *at++ = '{';
    for (i = 0; i < count; i++) {
        dtm_str_t bytes = values ? writes[i].value : writes[i].key;

        at += sprintf(at, "%s\"\\\\x", i ? "," : "");
        for (j = 0; j < bytes.len; j++)
            at += sprintf(at, "%02x", (unsigned char)bytes.ptr[j]);
        *at++ = '"';
    }
    strcpy(at, "}");
    return text;
}

static int32_t postgres_rollback(void *handle, uint32_t timeout_ms)
{
    struct postgres *store = handle;

    store->began = 0;
    return postgres_simple(store, "ROLLBACK", timeout_ms, -ETIMEDOUT);
}

static int32_t postgres_send_write(struct postgres *store, const dtm_write_t *writes,
                                   size_t count, uint64_t *ret_version, uint32_t timeout_ms)
{
    char *keys = postgres_array(writes, count, 0), *values = postgres_array(writes, count, 1);
    char *expected = malloc(count * 24 + 3), *changes = malloc(count * 4 + 3), *e, *c;
    int32_t code = -ENOMEM;
    PGresult *result = NULL;
    size_t i;

    if (keys && values && expected && changes) {
        e = expected + sprintf(expected, "{");
        c = changes + sprintf(changes, "{");
        for (i = 0; i < count; i++) {
            long long version =
                writes[i].expected == DTM_VERSION_ANY ? -1 : (long long)writes[i].expected;

            e += sprintf(e, "%s%lld", i ? "," : "", version);
            c += sprintf(c, "%s%u", i ? "," : "", writes[i].change);
        }
        strcpy(e, "}");
        strcpy(c, "}");
        {
            const struct postgres_value v[] = {
                {keys, 0}, {expected, 0}, {values, 0}, {changes, 0}};

            result = postgres_ask(
                store, "SELECT dtm_write($1::bytea[], $2::bigint[], $3::bytea[], $4::int[])", v,
                4, 1, timeout_ms, DTM_EFAILED, &code);
        }
    }
    if (result) {
        *ret_version = postgres_number(result, 0, 0);
        PQclear(result);
        code = 0;
    }
    free(keys), free(values), free(expected), free(changes);
    return code;
}

static int32_t postgres_write(void *handle, const dtm_write_t *writes, size_t count,
                              uint64_t *ret_version, uint32_t timeout_ms)
{
    struct postgres *store = handle;
    int began = store->began;
    int32_t code = postgres_send_write(store, writes, count, ret_version, timeout_ms);

    store->began = 0;
    if (!began)
        return code;
    if (code == 0) /* "COMMIT" of a transaction that has failed rolls it back, and says so */
        return postgres_simple(store, "COMMIT", timeout_ms, DTM_EFAILED);
    postgres_rollback(store, timeout_ms);
    return code;
}

static int32_t postgres_begin(void *handle, void **ret_native, uint32_t timeout_ms)
{
    struct postgres *store = handle;
    int32_t code = postgres_simple(store, "BEGIN", timeout_ms, -ETIMEDOUT);

    if (code == 0) {
        store->began = 1;
        *ret_native = store->connection;
    }
    return code;
}

static int32_t postgres_lease(void *handle, dtm_str_t name, dtm_str_t owner, uint32_t ttl_ms,
                              uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{name.ptr, name.len}, {owner.ptr, owner.len}};
    char sql[400];
    int32_t code;
    PGresult *result;

    snprintf(sql, sizeof sql,
             "INSERT INTO dtm_kv VALUES ($1::bytea, $2::bytea, nextval('dtm_version'),"
             " clock_timestamp() + interval '%u ms') ON CONFLICT (key) DO UPDATE SET"
             " value = excluded.value, until = excluded.until"
             " WHERE dtm_kv.value = excluded.value OR dtm_kv.until < clock_timestamp()",
             ttl_ms);
    result = postgres_ask(handle, sql, values, 2, 0, timeout_ms, -ETIMEDOUT, &code);
    if (!result)
        return code;
    code = strcmp(PQcmdTuples(result), "1") == 0 ? 0 : DTM_EREFUSED;
    PQclear(result);
    return code;
}

static int32_t postgres_unlease(void *handle, dtm_str_t name, dtm_str_t owner,
                                uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{name.ptr, name.len}, {owner.ptr, owner.len}};
    int32_t code;
    PGresult *result =
        postgres_ask(handle, "DELETE FROM dtm_kv WHERE key = $1::bytea AND value = $2::bytea",
                     values, 2, 0, timeout_ms, -ETIMEDOUT, &code);

    if (!result)
        return code;
    PQclear(result);
    return 0;
}

static int32_t store_postgres_register(dtm_t *rt)
{
    dtm_store_t store = DTM_STORE_INIT;

    store.scheme = "postgres";
    store.open = postgres_open;
    store.close = postgres_close;
    store.error = postgres_error;
    store.ping = postgres_ping;
    store.get = postgres_get;
    store.list = postgres_list;
    store.write = postgres_write;
    store.begin = postgres_begin;
    store.rollback = postgres_rollback;
    store.lease = postgres_lease;
    store.unlease = postgres_unlease;
    return dtm_store_register(rt, &store);
}

#endif
