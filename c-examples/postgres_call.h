/*
 * postgres_call.h - one connection to PostgreSQL and the call that is under way, a step at a
 * time: the part of store_postgres.h that knows libpq's way not to wait.
 */
#ifndef POSTGRES_CALL_H
#define POSTGRES_CALL_H

#include <dtm.h>

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
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

#endif
