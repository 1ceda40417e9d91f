/*
 * lines.h - requests that are lines, from a non-blocking socket.
 */
#ifndef LINES_H
#define LINES_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct lines {
    size_t begin, end; /* buf[begin..end] is not taken yet */
    char buf[1024];
};

/* 1: read something, or nothing came yet. 0: the peer has said all. Negative: failed. */
static int32_t lines_read(struct lines *in, int fd)
{
    ssize_t n;

    memmove(in->buf, in->buf + in->begin, in->end - in->begin);
    in->end -= in->begin;
    in->begin = 0;
    if (in->end == sizeof in->buf)
        return -EMSGSIZE;
    n = recv(fd, in->buf + in->end, sizeof in->buf - in->end, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    in->end += (size_t)n;
    return n > 0;
}

/* The next whole line without its end, valid until lines_read(); NULL: none yet. */
static char *lines_next(struct lines *in)
{
    char *line = in->buf + in->begin, *newline = memchr(line, '\n', in->end - in->begin);

    if (!newline)
        return NULL;
    *newline = '\0';
    in->begin = (size_t)(newline + 1 - in->buf);
    return line;
}

#endif
