/*
 * http.c - HTTP/1.1 with keep-alive, and reloads that lose no request.
 *
 * A server that drains must get rid of idle keep-alive clients. If it just closes them, a
 * request may be on its way already, and is lost: about one for each idle client. So this
 * one keeps them until their next request (DTM_IDLE_KEEP), and its answer to that one says
 * `Connection: close`: then the client itself goes on with a new connection.
 */
#define _GNU_SOURCE
#include "echo_main.h"

#include <strings.h>
#include <sys/socket.h>

struct conn {
    size_t used;      /* of `request` */
    size_t len, sent; /* of `reply` */
    int last;         /* no request is answered after this one */
    int gone;         /* all is sent: only the client's end is waited for */
    char reply[512];
    char request[8192];
};

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *conn = malloc(sizeof *conn);

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    memset(conn, 0, offsetof(struct conn, reply));
    dtm_client_set_data(client, conn);
    return DTM_READ;
}

/* The value of a header line, NULL if there is none. `head` is terminated. */
static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    const char *line = head;

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

/* Answer one request, whose head is terminated. */
static void answer(dtm_t *rt, struct conn *conn, const char *head)
{
    const char *status = "200 OK", *wanted = header(head, "Connection");
    int old = strstr(head, "HTTP/1.0") != NULL;
    char body[128];
    dtm_self_t self;

    dtm_self(rt, &self, sizeof self);
    if (strncmp(head, "GET ", 4) != 0 || header(head, "Content-Length") ||
        header(head, "Transfer-Encoding")) {
        status = "400 Bad Request"; /* where the next one begins is not known */
        conn->last = 1;
    }
    if (wanted ? strncasecmp(wanted, "close", 5) == 0 : old)
        conn->last = 1;
    if (dtm_draining(rt))
        conn->last = 1; /* this worker takes no more: the next one has a worker that does */
    snprintf(body, sizeof body, "worker %u generation %u\n", self.slot, self.generation);
    conn->len = (size_t)snprintf(conn->reply, sizeof conn->reply,
                                 "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: %zu\r\n%s\r\n%s",
                                 status, strlen(body),
                                 conn->last ? "Connection: close\r\n"
                                 : old      ? "Connection: keep-alive\r\n"
                                            : "",
                                 body);
    conn->sent = 0;
}

/* Take the first request out of the buffer. 0: it is not complete. */
static int next_request(dtm_t *rt, struct conn *conn)
{
    char *end = memmem(conn->request, conn->used, "\r\n\r\n", 4);
    size_t len;

    if (!end)
        return 0;
    len = (size_t)(end - conn->request) + 4;
    end[2] = 0; /* the last line keeps its end */
    answer(rt, conn, conn->request);
    conn->used -= len;
    memmove(conn->request, conn->request + len, conn->used);
    return 1;
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct conn *conn = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    ssize_t n;

    (void)events, (void)user_data;
    for (;;) {
        if (conn->sent < conn->len) {
            n = send(fd, conn->reply + conn->sent, conn->len - conn->sent, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                return -errno;
            conn->sent += n > 0 ? (size_t)n : 0;
            if (conn->sent < conn->len)
                return DTM_WRITE;
            if (conn->last) {
                /* What the client may still send must not reset the answer on its way. */
                shutdown(fd, SHUT_WR);
                dtm_client_set_timeout(client, 2000);
                conn->gone = 1;
            }
        }
        if (!conn->gone && next_request(rt, conn))
            continue;
        if (conn->used == sizeof conn->request)
            return DTM_DONE; /* no request is so long */
        n = recv(fd, conn->request + conn->used, sizeof conn->request - conn->used, 0);
        if (n == 0)
            return DTM_DONE;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n < 0)
            break;
        conn->used += conn->gone ? 0 : (size_t)n;
    }
    /* Busy: a request is half read. An idle one is kept, but a drain does not wait for it
     * longer than `drain_timeout`. */
    dtm_client_set_busy(client, conn->used > 0);
    return DTM_READ;
}

static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;

    config.drain_idle = DTM_IDLE_KEEP;
    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;
    return service_main("http", "Answers GET with the name of the worker.", config, &callbacks,
                        argc, argv);
}
