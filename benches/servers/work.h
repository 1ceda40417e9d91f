/*
 * work.h - what each server of the bench does for a client, whatever drives it:
 * the same buffers, the same parsing and the same bytes of an answer.
 *
 *   GET /          200, a short text
 *   GET /who       200, the process id of the worker
 *   GET /block/MS  the worker sleeps that long in its handler; then 200
 *   anything else  comes back as it is: echo
 *
 * Connections are kept alive. A request ends with an empty line and is not
 * followed by another before it has its answer.
 */
#ifndef WORK_H
#define WORK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WORK_BUFFER  2048
#define WORK_BACKLOG 4096 /* a burst of 2,000 clients fits */

struct conn {
    const char *out; /* `left` bytes from here still have to go out */
    size_t left, used;
    char buf[WORK_BUFFER];
};

struct reply {
    size_t len;
    char text[256];
};

static struct reply work_hello, work_who;

static inline void work_reply(struct reply *reply, const char *body)
{
    reply->len = (size_t)snprintf(reply->text, sizeof reply->text,
                                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  strlen(body), body);
}

/* Once per worker. */
static inline void work_init(void)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    work_reply(&work_hello, "Hello, world\n");
    work_reply(&work_who, pid);
}

static inline struct conn *work_open(void)
{
    struct conn *conn = malloc(sizeof *conn);

    if (conn)
        conn->left = conn->used = 0;
    return conn;
}

static inline const struct reply *work_http(const char *path)
{
    struct timespec time;
    long ms;

    if (path[1] == ' ')
        return &work_hello;
    if (memcmp(path, "/who ", 5) == 0)
        return &work_who;
    if (memcmp(path, "/block/", 7) == 0) {
        ms = strtol(path + 7, NULL, 10);
        time.tv_sec = ms / 1000;
        time.tv_nsec = ms % 1000 * 1000000;
        while (nanosleep(&time, &time) != 0 && errno == EINTR)
            ;
    }
    return &work_hello;
}

/* Bytes came: find the answer, if the request is complete. */
static inline void work_answer(struct conn *conn)
{
    const struct reply *reply;

    if (conn->used < 4 || memcmp(conn->buf, "GET ", 4) != 0) {
        conn->out = conn->buf;
        conn->left = conn->used;
    } else if (memcmp(conn->buf + conn->used - 4, "\r\n\r\n", 4) == 0) {
        reply = work_http(conn->buf + 4);
        conn->out = reply->text;
        conn->left = reply->len;
    } else if (conn->used < sizeof conn->buf) {
        return;
    }
    conn->used = 0;
}

enum { WORK_READ, WORK_WRITE, WORK_DONE };

/* One readiness of a non-blocking socket; what to wait for next. */
static inline int work_step(struct conn *conn, int fd)
{
    ssize_t n;

    if (conn->left == 0) {
        n = recv(fd, conn->buf + conn->used, sizeof conn->buf - conn->used, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? WORK_READ : WORK_DONE;
        conn->used += (size_t)n;
        work_answer(conn);
    }
    if (conn->left > 0) {
        n = send(fd, conn->out, conn->left, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return WORK_DONE;
        if (n > 0) {
            conn->out += n;
            conn->left -= (size_t)n;
        }
    }
    return conn->left > 0 ? WORK_WRITE : WORK_READ;
}

#endif
