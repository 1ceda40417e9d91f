/*
 * store_postgres.h - PostgreSQL as a store of actions: "postgres://user@host/database".
 *
 * A plug-in, for programs that link libpq: store_postgres_register() before dtm_run(). No
 * call waits for the server: each answers DTM_STORE_AGAIN, and libdtm calls postgres_step()
 * when the connection has news. A server that is stopped costs an action store_timeout, and
 * operators and workers nothing.
 *
 * libpq looks names up without any limit, so a host must be an address or the folder of a
 * socket; where TLS needs a name, write both: "postgres://user@name/db?hostaddr=10.0.0.1".
 */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <dtm.h>

#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The call that is under way, and what becomes of its result. */
enum postgres_call { PG_CONNECT, PG_PLAIN, PG_ROWS, PG_WRITE, PG_BEGIN, PG_LEASE };

struct postgres {
    PGconn *connection;
    enum postgres_call call;
    PostgresPollingStatusType polling; /* of PG_CONNECT */
    int connecting;
    PGresult *last;    /* of what has been answered so far */
    int32_t unsure;    /* what it means when the connection is lost */
    int began, ending; /* a transaction; COMMIT or ROLLBACK was sent */
    int32_t verdict;   /* of the write that ROLLBACK follows */
    int must_exist;
    dtm_store_sink_cb emit;
    void *sink, **ret_native;
    uint64_t *ret_version;
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

/* ---- Calls ------------------------------------------------------------------- */

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

struct postgres_value {
    const void *data;
    size_t len;
};

/* It goes on in postgres_step(). */
static int32_t postgres_sent(struct postgres *store, int ok, enum postgres_call call,
                             int32_t unsure)
{
    store->call = call;
    store->unsure = unsure;
    store->ending = 0;
    return ok ? DTM_STORE_AGAIN : postgres_fail(store, -EIO, PQerrorMessage(store->connection));
}

static int32_t postgres_simple(struct postgres *store, const char *sql, enum postgres_call call,
                               int32_t unsure)
{
    return postgres_sent(store, PQsendQuery(store->connection, sql), call, unsure);
}

/* One statement; values go and come as they are. */
static int32_t postgres_ask(struct postgres *store, const char *sql,
                            const struct postgres_value *values, int count, int text,
                            enum postgres_call call, int32_t unsure)
{
    const char *data[8];
    int lens[8], formats[8], i;

    for (i = 0; i < count; i++) {
        data[i] = values[i].data ? values[i].data : "";
        lens[i] = (int)values[i].len;
        formats[i] = !text;
    }
    return postgres_sent(
        store, PQsendQueryParams(store->connection, sql, count, NULL, data, lens, formats, 1),
        call, unsure);
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

static int32_t postgres_emit(struct postgres *store)
{
    int row, rows = PQntuples(store->last);

    for (row = 0; row < rows; row++) {
        dtm_str_t key = {PQgetvalue(store->last, row, 0),
                         (size_t)PQgetlength(store->last, row, 0)};
        dtm_str_t value = {PQgetvalue(store->last, row, 1),
                           (size_t)PQgetlength(store->last, row, 1)};

        if (store->emit(store->sink, key, value, postgres_number(store->last, row, 2)) != 0)
            break;
    }
    return rows > 0 || !store->must_exist ? 0 : -ENOENT;
}

/* ---- A step ------------------------------------------------------------------- */

static int32_t postgres_wait(struct postgres *store, uint32_t interest, int *ret_fd,
                             uint32_t *ret_interest)
{
    *ret_fd = PQsocket(store->connection);
    *ret_interest = interest;
    return DTM_STORE_AGAIN;
}

/* All that was sent has been answered: the last result, or the first failure, is there. */
static int32_t postgres_outcome(struct postgres *store)
{
    ExecStatusType status = PQresultStatus(store->last); /* of NULL: a failure */

    if (store->last && status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE)
        return 0;
    postgres_fail(store, 0, PQerrorMessage(store->connection));
    return postgres_code(store->last ? PQresultErrorField(store->last, PG_DIAG_SQLSTATE) : NULL,
                         store->unsure);
}

/* A write inside of a transaction ends it, as the write has gone. */
static int32_t postgres_end(struct postgres *store, int32_t code)
{
    store->began = 0;
    store->ending = 1;
    store->verdict = code;
    if (PQsendQuery(store->connection, code == 0 ? "COMMIT" : "ROLLBACK"))
        return DTM_STORE_AGAIN;
    return postgres_fail(store, code == 0 ? DTM_EFAILED : code,
                         PQerrorMessage(store->connection));
}

static int32_t postgres_result(struct postgres *store)
{
    int32_t code = postgres_outcome(store);

    if (store->ending && store->verdict != 0) { /* it was the ROLLBACK of a failed write */
        code = store->verdict;
    } else if (store->ending || code != 0) {
        if (store->call == PG_WRITE && store->began)
            code = postgres_end(store, code);
    } else if (store->call == PG_ROWS) {
        code = postgres_emit(store);
    } else if (store->call == PG_LEASE) {
        code = strcmp(PQcmdTuples(store->last), "1") == 0 ? 0 : DTM_EREFUSED;
    } else if (store->call == PG_BEGIN) {
        store->began = 1;
        *store->ret_native = store->connection;
    } else if (store->call == PG_WRITE) {
        *store->ret_version = postgres_number(store->last, 0, 0);
        if (store->began)
            code = postgres_end(store, code);
    }
    PQclear(store->last);
    store->last = NULL;
    return code;
}

static int32_t postgres_connecting(struct postgres *store, int *ret_fd, uint32_t *ret_interest)
{
    if (store->connecting) /* the first time, it waits to write: see PQconnectPoll() */
        store->polling = PQconnectPoll(store->connection);
    store->connecting = 1;
    if (store->polling == PGRES_POLLING_FAILED)
        return postgres_fail(store, -EIO, PQerrorMessage(store->connection));
    if (store->polling != PGRES_POLLING_OK)
        return postgres_wait(store,
                             store->polling == PGRES_POLLING_READING ? DTM_READ : DTM_WRITE,
                             ret_fd, ret_interest);
    PQsetnonblocking(store->connection, 1);
    return postgres_simple(store, postgres_schema, PG_PLAIN, -ETIMEDOUT);
}

static int32_t postgres_step(void *handle, int *ret_fd, uint32_t *ret_interest)
{
    struct postgres *store = handle;
    PGresult *result;
    int32_t code;
    int flushing;

    if (store->call == PG_CONNECT) {
        code = postgres_connecting(store, ret_fd, ret_interest);
        if (code != DTM_STORE_AGAIN || store->call == PG_CONNECT)
            return code;
    }
    for (;;) {
        if ((flushing = PQflush(store->connection)) < 0 || !PQconsumeInput(store->connection))
            return postgres_fail(
                store, store->ending && store->verdict ? store->verdict : store->unsure,
                PQerrorMessage(store->connection));
        if (flushing || PQisBusy(store->connection))
            return postgres_wait(store, flushing ? DTM_READ | DTM_WRITE : DTM_READ, ret_fd,
                                 ret_interest);
        if ((result = PQgetResult(store->connection))) {
            if (store->last && PQresultStatus(store->last) == PGRES_FATAL_ERROR) {
                PQclear(result); /* the first failure is what counts */
                continue;
            }
            PQclear(store->last);
            store->last = result;
        } else if ((code = postgres_result(store)) != DTM_STORE_AGAIN) {
            return code;
        }
    }
}

/* ---- The store --------------------------------------------------------------- */

/* Ends what is under way with the connection; without waiting, for it does not block. */
static void postgres_close(void *handle)
{
    struct postgres *store = handle;

    PQclear(store->last);
    PQfinish(store->connection);
    free(store);
}

/* A name without its address would be looked up, for however long that takes. */
static int32_t postgres_check(struct postgres *store, const char *uri)
{
    char *why = NULL, *list, *host, *rest;
    PQconninfoOption *options = PQconninfoParse(uri, &why), *option;
    const char *hosts = NULL, *addresses = NULL;
    unsigned char address[16];
    int32_t code = 0;

    if (!options) {
        postgres_fail(store, 0, why);
        PQfreemem(why);
        return DTM_ECONFIG;
    }
    for (option = options; option->keyword; option++) {
        if (strcmp(option->keyword, "host") == 0)
            hosts = option->val;
        else if (strcmp(option->keyword, "hostaddr") == 0)
            addresses = option->val;
    }
    if (hosts && !addresses && (list = strdup(hosts))) {
        for (host = strtok_r(list, ",", &rest); host && code == 0;
             host = strtok_r(NULL, ",", &rest))
            if (*host != '/' && *host != '@' && inet_pton(AF_INET, host, address) != 1 &&
                inet_pton(AF_INET6, host, address) != 1) {
                snprintf(store->error, sizeof store->error,
                         "host %s is a name: write its address, or add hostaddr=ADDRESS", host);
                code = DTM_ECONFIG;
            }
        free(list);
    }
    PQconninfoFree(options);
    return code;
}

static int32_t postgres_start(struct postgres *store, const char *uri)
{
    int32_t code = postgres_check(store, uri);

    if (code != 0)
        return code;
    store->connection = PQconnectStart(uri);
    if (!store->connection || PQstatus(store->connection) == CONNECTION_BAD)
        return postgres_fail(store, -EIO, PQerrorMessage(store->connection));
    store->call = PG_CONNECT;
    store->polling = PGRES_POLLING_WRITING;
    return DTM_STORE_AGAIN;
}

static int32_t postgres_open(void *data, const char *uri, void **ret_store, char *err,
                             size_t err_len, uint32_t timeout_ms)
{
    struct postgres *store = calloc(1, sizeof *store);
    int32_t code;

    (void)data, (void)timeout_ms;
    if (!store)
        return -ENOMEM;
    code = postgres_start(store, uri);
    *ret_store = store;
    if (code != DTM_STORE_AGAIN) {
        snprintf(err, err_len, "%s", store->error);
        postgres_close(store);
    }
    return code;
}

static const char *postgres_error(void *handle)
{
    return ((struct postgres *)handle)->error;
}

static int32_t postgres_ping(void *handle, uint32_t timeout_ms)
{
    (void)timeout_ms;
    return postgres_simple(handle, "SELECT 1", PG_PLAIN, -ETIMEDOUT);
}

static int32_t postgres_get(void *handle, dtm_str_t key, dtm_store_sink_cb emit, void *sink,
                            uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{key.ptr, key.len}};
    struct postgres *store = handle;

    (void)timeout_ms;
    store->emit = emit;
    store->sink = sink;
    store->must_exist = 1;
    return postgres_ask(
        store,
        "SELECT key, value, version FROM dtm_kv WHERE key = $1::bytea AND " POSTGRES_LIVES,
        values, 1, 0, PG_ROWS, -ETIMEDOUT);
}

static int32_t postgres_list(void *handle, dtm_str_t prefix, dtm_str_t after, size_t limit,
                             dtm_store_sink_cb emit, void *sink, uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{prefix.ptr, prefix.len}, {after.ptr, after.len}};
    struct postgres *store = handle;
    char sql[320];

    (void)timeout_ms;
    snprintf(sql, sizeof sql,
             "SELECT key, value, version FROM dtm_kv WHERE key >= $1::bytea AND key > $2::bytea"
             " AND substring(key FROM 1 FOR length($1::bytea)) = $1::bytea AND " POSTGRES_LIVES
             " ORDER BY key LIMIT %zu",
             limit);
    store->emit = emit;
    store->sink = sink;
    store->must_exist = 0;
    return postgres_ask(store, sql, values, 2, 0, PG_ROWS, -ETIMEDOUT);
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

    (void)timeout_ms;
    store->began = 0;
    return postgres_simple(store, "ROLLBACK", PG_PLAIN, -ETIMEDOUT);
}

/* libpq copies what is sent, so these texts may go at once. */
static int32_t postgres_write(void *handle, const dtm_write_t *writes, size_t count,
                              uint64_t *ret_version, uint32_t timeout_ms)
{
    char *keys = postgres_array(writes, count, 0), *values = postgres_array(writes, count, 1);
    char *expected = malloc(count * 24 + 3), *changes = malloc(count * 4 + 3), *e, *c;
    struct postgres *store = handle;
    int32_t code = -ENOMEM;
    size_t i;

    (void)timeout_ms;
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

            store->ret_version = ret_version;
            code = postgres_ask(
                store, "SELECT dtm_write($1::bytea[], $2::bigint[], $3::bytea[], $4::int[])", v,
                4, 1, PG_WRITE, DTM_EFAILED);
        }
    }
    free(keys), free(values), free(expected), free(changes);
    return code;
}

static int32_t postgres_begin(void *handle, void **ret_native, uint32_t timeout_ms)
{
    struct postgres *store = handle;

    (void)timeout_ms;
    store->ret_native = ret_native;
    return postgres_simple(store, "BEGIN", PG_BEGIN, -ETIMEDOUT);
}

static int32_t postgres_lease(void *handle, dtm_str_t name, dtm_str_t owner, uint32_t ttl_ms,
                              uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{name.ptr, name.len}, {owner.ptr, owner.len}};
    char sql[400];

    (void)timeout_ms;
    snprintf(sql, sizeof sql,
             "INSERT INTO dtm_kv VALUES ($1::bytea, $2::bytea, nextval('dtm_version'),"
             " clock_timestamp() + interval '%u ms') ON CONFLICT (key) DO UPDATE SET"
             " value = excluded.value, until = excluded.until"
             " WHERE dtm_kv.value = excluded.value OR dtm_kv.until < clock_timestamp()",
             ttl_ms);
    return postgres_ask(handle, sql, values, 2, 0, PG_LEASE, -ETIMEDOUT);
}

static int32_t postgres_unlease(void *handle, dtm_str_t name, dtm_str_t owner,
                                uint32_t timeout_ms)
{
    const struct postgres_value values[] = {{name.ptr, name.len}, {owner.ptr, owner.len}};

    (void)timeout_ms;
    return postgres_ask(handle,
                        "DELETE FROM dtm_kv WHERE key = $1::bytea AND value = $2::bytea",
                        values, 2, 0, PG_PLAIN, -ETIMEDOUT);
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
    store.step = postgres_step;
    return dtm_store_register(rt, &store);
}

#endif
