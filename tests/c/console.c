#include "console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAID_MAX = 1 << 20 };

static char said[SAID_MAX];
static size_t said_len;

struct service a_console(void)
{
    struct service service = a_service();
    CHECK(chmod(scratch(), 0755) == 0); /* where everybody may write, it does not listen */
    service.callbacks.control_open = NULL;
    service.callbacks.control_step = NULL;
    service.callbacks.control_close = NULL;
    return service;
}

int console(void)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s", control_path());
    return dial_address(address);
}

void send_bytes(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* reply() will tell */
        CHECK(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

static void add(const char *text, size_t len)
{
    CHECK(said_len + len < SAID_MAX);
    memcpy(said + said_len, text, len);
    said_len += len;
    said[said_len] = '\0';
}

static bool take(int fd, char *to, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, to, len, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return false;
        CHECK(n > 0); /* else: nothing came for too long */
        to += n;
        len -= (size_t)n;
    }
    return true;
}

static bool take_line(int fd, char *line, size_t size)
{
    size_t len = 0;
    do {
        CHECK(len + 1 < size);
        if (!take(fd, line + len, 1))
            return false;
    } while (line[len++] != '\n');
    CHECK(len >= 2 && line[len - 2] == '\r');
    line[len - 2] = '\0';
    return true;
}

static bool read_value(int fd)
{
    static char bulk[SAID_MAX];
    char line[2048], end[2];
    if (!take_line(fd, line, sizeof line))
        return false;
    long count = strtol(line + 1, NULL, 10);
    switch (line[0]) {
    case '$':
    case '=':
        if (count < 0) {
            add("_", 1);
            return true;
        }
        CHECK(count < SAID_MAX);
        if (!take(fd, bulk, (size_t)count) || !take(fd, end, 2))
            return false;
        CHECK(end[0] == '\r' && end[1] == '\n');
        add(line, 1);
        add(bulk, (size_t)count);
        return true;
    case '>':
        add(">", 1);
        /* fall through */
    case '*':
    case '%':
        add(line[0] == '%' ? "{" : "[", 1);
        for (long i = 0, n = line[0] == '%' ? 2 * count : count; i < n; i++) {
            if (i > 0)
                add(", ", 2);
            if (!read_value(fd))
                return false;
        }
        add(line[0] == '%' ? "}" : "]", 1);
        return true;
    default:
        CHECK(strchr("+-:_#,", line[0]));
        add(line, strlen(line));
        return true;
    }
}

const char *reply(int fd)
{
    said_len = 0;
    said[0] = '\0';
    return read_value(fd) ? said : NULL;
}

static const char *say_and_hear(int fd, const char *format, va_list args)
{
    char line[4096];
    int len = vsnprintf(line, sizeof line - 2, format, args);
    CHECK(len >= 0 && (size_t)len < sizeof line - 2);
    memcpy(line + len, "\r\n", 2);
    send_bytes(fd, line, (size_t)len + 2);
    return reply(fd);
}

const char *tell(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *answer = say_and_hear(fd, format, args);
    va_end(args);
    return answer;
}

const char *console_says(const char *format, ...)
{
    va_list args;
    int fd = console();
    va_start(args, format);
    const char *answer = say_and_hear(fd, format, args);
    va_end(args);
    hang_up(fd);
    return answer;
}

bool begins(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}
