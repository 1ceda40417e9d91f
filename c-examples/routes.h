/*
 * routes.h - the routing table of control.c: one text, which is the file, the
 * message to a worker and the table itself:
 *
 *     version 7
 *     users 10.0.0.1:3306
 *     orders 10.0.0.2:3306
 */
#ifndef ROUTES_H
#define ROUTES_H

#include <dtm.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROUTE_MAX 500 /* longest line */

struct routes {
    uint64_t version;
    size_t len;
    char text[DTM_MESSAGE_MAX + 1];
};

static struct routes routes = {1, 10, "version 1\n"};

/* Is this a whole table? Workers do not trust their channel blindly. */
static int32_t routes_parse(struct routes *ret, const char *text, size_t len)
{
    const char *line, *space, *end;

    if (len == 0 || len > DTM_MESSAGE_MAX || text[len - 1] != '\n' || memchr(text, '\0', len))
        return -EINVAL;
    memcpy(ret->text, text, len);
    ret->text[len] = '\0';
    ret->len = len;
    if (sscanf(ret->text, "version %" SCNu64 "\n", &ret->version) != 1)
        return -EINVAL;
    for (line = ret->text; *line; line = end + 1) {
        end = strchr(line, '\n');
        space = memchr(line, ' ', (size_t)(end - line));
        if (!space || space == line || space + 1 == end || end - line > ROUTE_MAX)
            return -EINVAL;
    }
    return 0;
}

/* Put a table in force, unless it is older than the one that is. */
static int32_t routes_take(const char *text, size_t len)
{
    static struct routes next;
    int32_t status = routes_parse(&next, text, len);

    if (status != 0 || next.version < routes.version)
        return status ? status : -ESTALE;
    routes = next;
    return 0;
}

/* The address of a key and its length; 0 if there is none. */
static size_t routes_find(const char *key, const char **ret_address)
{
    const char *line = strchr(routes.text, '\n') + 1;
    size_t len = strlen(key);

    for (; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, key, len) == 0 && line[len] == ' ') {
            *ret_address = line + len + 1;
            return strcspn(*ret_address, "\n");
        }
    }
    return 0;
}

static int32_t routes_load(const char *path)
{
    static char text[DTM_MESSAGE_MAX + 1];
    FILE *file = fopen(path, "re");
    size_t len;

    if (!file)
        return errno == ENOENT ? 0 : -errno;
    len = fread(text, 1, sizeof text, file);
    fclose(file);
    return routes_take(text, len);
}

/* A crash at any point leaves the whole old file or the whole new one. */
static int32_t routes_save(const struct routes *table, const char *path)
{
    char temporary[4096];
    FILE *file;
    int written;

    snprintf(temporary, sizeof temporary, "%s.new", path);
    file = fopen(temporary, "we");
    if (!file)
        return -errno;
    written = fwrite(table->text, 1, table->len, file) == table->len;
    return fclose(file) == 0 && written && rename(temporary, path) == 0 ? 0 : -EIO;
}

/* The next version: this route in front, the others as they were. Saved, then in force. */
static int32_t routes_set(const char *key, const char *address, const char *path)
{
    static char text[sizeof routes.text + ROUTE_MAX + 64];
    static struct routes next;
    const char *line = strchr(routes.text, '\n') + 1, *end;
    size_t len = strlen(key);
    int32_t status;
    int n;

    n = snprintf(text, ROUTE_MAX + 64, "version %" PRIu64 "\n%s %s\n", routes.version + 1, key,
                 address);
    for (; *line; line = end) {
        end = strchr(line, '\n') + 1;
        if (strncmp(line, key, len) != 0 || line[len] != ' ')
            n += sprintf(text + n, "%.*s", (int)(end - line), line);
    }
    if ((status = routes_parse(&next, text, (size_t)n)) != 0 ||
        (status = routes_save(&next, path)) != 0)
        return status;
    routes = next;
    return 0;
}

#endif
