/*
 * proxy.c - one client drives several Redis servers.
 *
 * Every worker keeps a pool of back-end links, which outlive their clients. A
 * client takes a link to each server that its commands go to (by the hash of
 * the first key), gets the replies in the order of its commands, and gives a
 * link back when nothing is in flight on it. Commands that change the state of
 * a connection (MULTI, SELECT, ...) are refused: the next client would have it.
 *
 * The two state machines never call each other. The client's step fills a
 * link's queue and wakes its watch; the link's step fills its queue of replies
 * and wakes the client; both happen in the same pass.
 */
#define _GNU_SOURCE
#include "daemon.h"
#include "pool.h"

#define IN_FLIGHT 128    /* commands of one client that wait for their replies */
#define OUT_MAX   262144 /* unread replies beyond which a client is not read */

static const char refused[] = "-ERR the proxy does not pass this command on\r\n";
static const char gone[] = "-ERR the back-end is gone\r\n";

struct conn {
    struct bytes in, out;
    struct link *links[BACKENDS];  /* taken from the pool */
    struct link *order[IN_FLIGHT]; /* whose reply is next; NULL: the command was refused */
    unsigned head, count;
    int eof;
};

static int banner;

/* Pass on what the client has sent. 1: some, 0: nothing more now, negative: garbled. */
static int32_t take_commands(dtm_t *rt, dtm_client_t *client, struct conn *conn)
{
    struct word words[2];
    int32_t took = 0;
    int64_t len;
    unsigned b;

    while (bytes_len(&conn->in) > 0 && conn->count < IN_FLIGHT &&
           bytes_len(&conn->out) < OUT_MAX) {
        const char *command = conn->in.data + conn->in.begin;
        struct link *link = NULL;

        len = resp_command(command, bytes_len(&conn->in), words);
        if (len <= 0)
            return len < 0 ? -EPROTO : took;
        if (words[0].len > 0 && !resp_stateful(words[0])) {
            b = words[1].len > 0 ? resp_hash(words[1]) % backend_count : 0;
            link = link_take(rt, client, b, &conn->links[b]);
        }
        if (link)
            link_send(link, command, (size_t)len);
        conn->in.begin += (size_t)len;
        conn->order[(conn->head + conn->count++) % IN_FLIGHT] = link;
        took = 1;
    }
    return took;
}

/* Pass back the replies that have come, in the order of the commands. */
static void take_replies(struct conn *conn)
{
    for (; conn->count > 0; conn->head++, conn->count--) {
        struct link *link = conn->order[conn->head % IN_FLIGHT];
        int64_t len;

        if (!link) {
            bytes_add(&conn->out, refused, sizeof refused - 1);
            continue;
        }
        len = resp_value(link->in.data + link->in.begin, bytes_len(&link->in));
        if (len == 0 && link->watch)
            return;
        if (len > 0)
            bytes_add(&conn->out, link->in.data + link->in.begin, (size_t)len);
        else
            bytes_add(&conn->out, gone, sizeof gone - 1);
        link->in.begin += len > 0 ? (size_t)len : 0;
        link_settle(link, len > 0);
    }
}

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    static const char hello[] = "+ready\r\n";
    struct conn *conn = calloc(1, sizeof *conn);
    int yes = 1;

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    setsockopt(dtm_client_fd(client), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    dtm_client_set_data(client, conn);
    if (!banner)
        return DTM_READ;
    bytes_add(&conn->out, hello, sizeof hello - 1);
    return DTM_WRITE; /* the server speaks first */
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct conn *conn = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    int32_t status = 1, interest;

    (void)user_data;
    if (events & DTM_READ)
        status = bytes_recv(&conn->in, fd);
    if (status < 0 || events & DTM_HUP)
        return status < 0 ? status : DTM_DONE;
    conn->eof |= status == 0;
    do {
        take_replies(conn);
        status = bytes_send(&conn->out, fd);
        if (status == 0)
            status = take_commands(rt, client, conn);
    } while (status > 0);
    if (status < 0)
        return status;
    interest = bytes_len(&conn->out) > 0 ? DTM_WRITE : 0;
    if (conn->eof && conn->count == 0 && interest == 0)
        return DTM_DONE;
    if (!conn->eof && conn->count < IN_FLIGHT && bytes_len(&conn->out) < OUT_MAX)
        interest |= DTM_READ;
    dtm_client_set_busy(client,
                        conn->count > 0 || interest & DTM_WRITE || bytes_len(&conn->in) > 0);
    return interest; /* 0: a link will wake us */
}

static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    struct conn *conn = dtm_client_data(client);

    (void)rt, (void)reason, (void)user_data;
    if (!conn)
        return;
    for (; conn->count > 0; conn->head++, conn->count--)
        if (conn->order[conn->head % IN_FLIGHT])
            link_settle(conn->order[conn->head % IN_FLIGHT], 0);
    free(conn->in.data);
    free(conn->out.data);
    free(conn);
}

/* ---- main ------------------------------------------------------------------ */

static const char help[] =
    "proxy - spreads the commands of each Redis client over several Redis servers\n"
    "  --listen ADDR        127.0.0.1:7000, [::1]:7000, *:7000, unix:/path (127.0.0.1:7000)\n"
    "  --backend A[,B...]   up to 8 servers, unix:/path also (127.0.0.1:6379)\n"
    "  --workers N          number of workers (one per CPU)\n"
    "  --client-timeout MS  idle clients are closed (1200000)\n"
    "  --server-timeout MS  back-end links that are idle or do not answer are closed (1200000)\n"
    "  --banner             speak first: send \"+ready\" to every client\n" DAEMON_HELP;

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    struct daemon daemon = {NULL, 0, 0};
    dtm_result_t result;
    const char *servers = "127.0.0.1:6379";
    const struct option options[] = {
        {"--listen", &listen.address, NULL, NULL},
        {"--backend", &servers, NULL, NULL},
        {"--workers", NULL, &config.workers, NULL},
        {"--client-timeout", NULL, &config.client_timeout_ms, NULL},
        {"--server-timeout", NULL, &config.watch_timeout_ms, NULL},
        {"--banner", NULL, NULL, &banner},
        DAEMON_OPTIONS(daemon, config),
        {NULL, NULL, NULL, NULL},
    };
    dtm_t *rt = NULL;
    int failed;

    config.name = "proxy";
    config.client_timeout_ms = config.watch_timeout_ms = 1200000;
    listen.address = "127.0.0.1:7000";
    options_parse(argc, argv, options, help);
    if (backends_parse(servers) != 0) {
        fprintf(stderr, "proxy: --backend: up to %d addresses like 127.0.0.1:6379\n", BACKENDS);
        return 2;
    }
    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;

    failed = daemon_new(&daemon, &config, &callbacks, NULL, &rt) != DTM_OK ||
             daemon_failed(&daemon, dtm_listen(rt, &listen)) ||
             daemon_run(&daemon, config.name, rt, &result) != DTM_OK;
    if (failed)
        fprintf(stderr, "proxy: %s\n", dtm_last_error());
    dtm_free(rt);
    return failed;
}
