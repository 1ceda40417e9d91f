/*
 * pool.h - back-end connections of one worker. They outlive the clients that
 * use them: taken by one client at a time, given back when nothing is pending.
 */
#ifndef POOL_H
#define POOL_H

#include "resp.h"

#include <dtm.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKENDS 8

struct link {
    struct link *next;    /* in the pool */
    dtm_watch_t *watch;   /* NULL: dead, but its client does not know yet */
    dtm_client_t *client; /* NULL: in the pool */
    struct link **held;   /* where that client keeps it */
    unsigned backend;
    unsigned pending; /* replies that are not settled */
    struct bytes in, out;
};

static struct {
    struct sockaddr_storage addr;
    socklen_t len;
    struct link *pool;
} backends[BACKENDS];
static unsigned backend_count;

static void link_free(struct link *link)
{
    free(link->in.data);
    free(link->out.data);
    free(link);
}

static int32_t link_step(dtm_t *rt, dtm_watch_t *watch, uint32_t events, void *data)
{
    struct link *link = data;
    int fd = dtm_watch_fd(watch);
    int32_t status = bytes_send(&link->out, fd);

    (void)rt;
    if (status == 0 && events & (DTM_READ | DTM_HUP)) {
        status = bytes_recv(&link->in, fd);
        if (status == 0 || !link->client) /* nobody asked: it closes, or talks nonsense */
            return DTM_DONE;
        dtm_client_wake(link->client);
    }
    if (status < 0)
        return status;
    return bytes_len(&link->out) > 0 ? DTM_READ | DTM_WRITE : DTM_READ;
}

/* Whatever the reason, server_timeout included: the client finds watch == NULL. */
static void link_close(dtm_t *rt, dtm_watch_t *watch, int32_t reason, void *data)
{
    struct link *link = data, **at = &backends[link->backend].pool;

    (void)rt, (void)watch, (void)reason;
    link->watch = NULL;
    if (link->client) {
        dtm_client_wake(link->client);
        return;
    }
    while (*at && *at != link)
        at = &(*at)->next;
    if (*at)
        *at = link->next;
    link_free(link);
}

static struct link *link_connect(dtm_t *rt, unsigned backend)
{
    int fd =
        socket(backends[backend].addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr *addr = (const struct sockaddr *)&backends[backend].addr;
    struct link *link = calloc(1, sizeof *link);
    int yes = 1;

    if (fd >= 0 && link) {
        link->backend = backend;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if ((connect(fd, addr, backends[backend].len) == 0 || errno == EINPROGRESS) &&
            dtm_watch_add(rt, fd, DTM_READ | DTM_WRITE, link_step, link_close, link,
                          &link->watch) == DTM_OK)
            return link;
    }
    if (fd >= 0)
        close(fd);
    free(link);
    return NULL;
}

/* Take a link for a client, which keeps it in *held. NULL: cannot connect. */
static struct link *link_take(dtm_t *rt, dtm_client_t *client, unsigned backend,
                              struct link **held)
{
    struct link *link = backends[backend].pool;

    if (*held && (*held)->watch)
        return *held;
    if (link)
        backends[backend].pool = link->next;
    else if (!(link = link_connect(rt, backend)))
        return NULL;
    link->client = client;
    link->held = held;
    return *held = link;
}

static void link_send(struct link *link, const char *command, size_t len)
{
    bytes_add(&link->out, command, len);
    link->pending++;
    dtm_watch_wake(link->watch);
}

/* One reply is settled. After the last one the next client may have the link, if it is in
 * order. */
static void link_settle(struct link *link, int in_order)
{
    if (--link->pending > 0)
        return;
    if (*link->held == link)
        *link->held = NULL;
    link->client = NULL;
    if (!link->watch) {
        link_free(link);
    } else if (!in_order || bytes_len(&link->in) > 0) {
        dtm_watch_close(link->watch);
    } else {
        link->next = backends[link->backend].pool;
        backends[link->backend].pool = link;
    }
}

/* One address: "127.0.0.1:6379", "[::1]:6379" or "unix:/path". */
static int backend_add(char *address)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    struct sockaddr_un *path = (struct sockaddr_un *)&backends[backend_count].addr;
    char *colon = strrchr(address, ':');
    char *host = address[0] == '[' ? address + 1 : address;

    if (strncmp(address, "unix:", 5) == 0) {
        if (strlen(address + 5) >= sizeof path->sun_path)
            return -1;
        path->sun_family = AF_UNIX;
        strcpy(path->sun_path, address + 5);
        backends[backend_count++].len = sizeof *path;
        return 0;
    }
    if (!colon)
        return -1;
    *colon = '\0';
    host[strcspn(host, "]")] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    memcpy(path, found->ai_addr, found->ai_addrlen);
    backends[backend_count++].len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int backends_parse(const char *addresses)
{
    char address[128];

    while (*addresses && backend_count < BACKENDS) {
        snprintf(address, sizeof address, "%.*s", (int)strcspn(addresses, ","), addresses);
        if (backend_add(address) != 0)
            return -1;
        addresses += strcspn(addresses, ",");
        addresses += *addresses == ',';
    }
    return *addresses || backend_count == 0 ? -1 : 0;
}

#endif
