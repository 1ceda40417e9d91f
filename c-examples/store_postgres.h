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

#include "postgres_call.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

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
