/* What /proc says of a process, for tests of what it has become. */
#ifndef PROC_H
#define PROC_H

#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A small file, whole; "" when there is none. */
static inline const char *slurp(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    return text;
}

static inline const char *proc_file(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return slurp(path);
}

/* What stands behind `key` in a file of lines, such as "Uid:" in status. */
static inline const char *proc_value(pid_t pid, const char *name, const char *key)
{
    static char value[512];
    const char *at = strstr(proc_file(pid, name), key);
    value[0] = 0;
    if (at) {
        at += strlen(key);
        at += strspn(at, " \t");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\n"), at);
        for (size_t n = strlen(value); n && strchr(" \t", value[n - 1]);)
            value[--n] = 0;
    }
    return value;
}

static inline const char *proc_link(pid_t pid, const char *name)
{
    static char target[256];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    return target;
}

static inline void check_text(const char *file, int line, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fail_at(file, line, "\"%s\", expected \"%s\"", got, want);
}

#define CHECK_TEXT(got, want) check_text(__FILE__, __LINE__, got, want)

#endif
