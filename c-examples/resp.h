/*
 * resp.h - byte queues, and where a Redis command or reply ends in one.
 */
#ifndef RESP_H
#define RESP_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct bytes {
    char *data;
    size_t begin, end, size; /* data[begin..end] is in the queue */
};

static size_t bytes_len(const struct bytes *b)
{
    return b->end - b->begin;
}

/* Room for more behind the end. Out of memory: end the worker, the master replaces it. */
static void bytes_reserve(struct bytes *b, size_t more)
{
    if (b->begin > 0) {
        memmove(b->data, b->data + b->begin, bytes_len(b));
        b->end -= b->begin;
        b->begin = 0;
    }
    if (b->size - b->end < more) {
        b->size = 2 * b->size + more;
        b->data = realloc(b->data, b->size);
        if (!b->data)
            abort();
    }
}

static void bytes_add(struct bytes *b, const char *data, size_t len)
{
    if (b->size - b->end < len)
        bytes_reserve(b, len);
    memcpy(b->data + b->end, data, len);
    b->end += len;
}

/* 1: read something, or nothing came. 0: the peer will send no more. Negative: failed. */
static int32_t bytes_recv(struct bytes *b, int fd)
{
    ssize_t n;

    bytes_reserve(b, 16384);
    n = recv(fd, b->data + b->end, b->size - b->end, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    b->end += (size_t)n;
    return n > 0;
}

/* 0: sent what the socket takes. Negative: failed. */
static int32_t bytes_send(struct bytes *b, int fd)
{
    ssize_t n = 0;

    if (bytes_len(b) > 0)
        n = send(fd, b->data + b->begin, bytes_len(b), MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    b->begin += (size_t)n;
    return 0;
}

/* The number in a line such as "$3\r\n". strtol() would read on behind the line. */
static int64_t resp_number(const char *line)
{
    const char *digit = line + (line[0] != '\n');
    int64_t number = 0, sign = *digit == '-' ? -1 : 1;

    for (digit += *digit == '-'; *digit >= '0' && *digit <= '9' && number < 1 << 30; digit++)
        number = number * 10 + (*digit - '0');
    return sign * number;
}

/* Length of the value that data begins with; 0: not all there yet; -1: no RESP. */
static int64_t resp_value(const char *data, size_t len)
{
    int64_t at = 0, number, values = 1;
    const char *newline;
    char kind;

    for (; values > 0; values--) {
        newline = at < (int64_t)len ? memchr(data + at, '\n', len - (size_t)at) : NULL;
        if (!newline)
            return 0;
        kind = data[at];
        number = resp_number(data + at);
        at = newline + 1 - data;
        if (kind == '$' && number <= 512 << 20)
            at += number >= 0 ? number + 2 : 0;
        else if (kind == '*' && number <= 1 << 20)
            values += number > 0 ? number : 0;
        else if (kind != '+' && kind != '-' && kind != ':')
            return -1;
    }
    return at <= (int64_t)len ? at : 0;
}

struct word {
    const char *data;
    size_t len;
};

/* The same for a command, inline ones included, with its name and first argument. */
static int64_t resp_command(const char *data, size_t len, struct word words[2])
{
    int64_t total = data[0] == '*' ? resp_value(data, len) : 0;
    const char *at = memchr(data, '\n', len), *end;
    int i;

    memset(words, 0, 2 * sizeof words[0]);
    if (data[0] != '*' && at) {
        total = at + 1 - data;
        for (i = 0, at = data; i < 2; i++, at += words[i - 1].len) {
            at += strspn(at, " ");
            words[i].data = at;
            words[i].len = strcspn(at, " \r\n");
        }
    } else if (total > 0) {
        for (i = 0, at++, end = data + total; i < 2 && at < end; i++) {
            if (at[0] != '$' || at[1] == '-')
                return -1;
            words[i].len = (size_t)resp_number(at);
            words[i].data = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
            at = words[i].data + words[i].len + 2;
        }
    }
    return total;
}

/* Commands that change the connection itself, which another client has next. */
static int resp_stateful(struct word name)
{
    static const char *const names[] = {"multi",      "exec",    "watch", "select", "subscribe",
                                        "psubscribe", "monitor", "auth",  "hello",  "quit"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == name.len && strncasecmp(names[i], name.data, name.len) == 0)
            return 1;
    return 0;
}

/* FNV-1a */
static uint32_t resp_hash(struct word key)
{
    uint32_t hash = 2166136261u;
    size_t i;

    for (i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 16777619u;
    return hash;
}

#endif
