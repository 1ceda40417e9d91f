/*
 * raw.c - a prefork server by hand on epoll, with nothing that is not needed: the
 * limit that the others are held against.
 *
 * "token" is the limit of a schedule that hands the turn on: half of the workers stand
 * in the listener's queue, and who accepts puts there the least loaded of those that do
 * not, and leaves it; at the latest after QUANTUM clients, and at once when its load is
 * above the least one by more than SLACK. No death is thought of, no limit, no other mode.
 * "steer" is the limit of a schedule that chooses as the SYN arrives: see steer.h.
 */
#define _GNU_SOURCE
#include "steer.h"

#include <sys/epoll.h>

#define EVENTS  64
#define QUANTUM 8
#define SLACK   4

struct client {
    int fd, waits_for;
    struct conn conn;
};

static int epoll, epolls[WORKERS_MAX], token;

static void watch(int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, operation, fd, &event) != 0) {
        perror("epoll_ctl");
        _exit(1);
    }
}

static int least_loaded(unsigned int *ret_least)
{
    unsigned int load, least = UINT32_MAX;
    int i, slot, found = prefork_index;

    *ret_least = UINT32_MAX;
    for (i = 1; i < prefork_workers; i++) {
        slot = (prefork_index + i) % prefork_workers;
        load = atomic_load_explicit(&rows[slot].load, memory_order_relaxed);
        if (load < *ret_least)
            *ret_least = load;
        if (!atomic_load(&rows[slot].armed) && load < least) {
            least = load;
            found = slot;
        }
    }
    return found;
}

static void count(int clients)
{
    unsigned int load = atomic_load_explicit(&rows[prefork_index].load, memory_order_relaxed);

    atomic_store_explicit(&rows[prefork_index].load, load + (unsigned int)clients,
                          memory_order_relaxed);
}

/* With the two system calls that a schedule by tokens cannot do without. */
static void hand_on(int listener)
{
    static int kept;
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    unsigned int load = atomic_load_explicit(&rows[prefork_index].load, memory_order_relaxed);
    unsigned int least;
    int next = least_loaded(&least);

    if (++kept < QUANTUM && load <= least + (uint64_t)SLACK)
        return;
    kept = 0;
    if (next == prefork_index || atomic_exchange(&rows[next].armed, 1))
        return; /* it is the next one once more */
    epoll_ctl(epolls[next], EPOLL_CTL_ADD, listener, &event);
    epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL);
    atomic_store(&rows[prefork_index].armed, 0); /* nobody puts it there before it has left */
}

/* One per report, so that the other workers get their share. */
static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;

    if (fd < 0)
        return;
    client = malloc(sizeof *client);
    client->fd = fd;
    client->waits_for = WORK_READ;
    client->conn.left = client->conn.used = 0;
    if (rows)
        count(1);
    if (token)
        hand_on(listener);
    else if (rows)
        atomic_fetch_add(&rows[prefork_index].taken, 1);
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
}

static void go_on(struct client *client)
{
    int next = work_step(&client->conn, client->fd);

    if (next == WORK_DONE) {
        close(client->fd);
        free(client);
        if (rows)
            count(-1);
    } else if (next != client->waits_for) {
        watch(EPOLL_CTL_MOD, client->fd, next == WORK_READ ? EPOLLIN : EPOLLOUT, client);
        client->waits_for = next;
    }
}

static void serve(int listener)
{
    struct epoll_event events[EVENTS];
    int i, n;

    epoll = token ? epolls[prefork_index] : epoll_create1(EPOLL_CLOEXEC);
    if (!token || prefork_index < prefork_workers / 2 || prefork_index == 0) {
        if (token)
            atomic_store(&rows[prefork_index].armed, 1);
        watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE, NULL);
    }
    for (;;) {
        n = epoll_wait(epoll, events, EVENTS, -1);
        for (i = 0; i < n; i++)
            if (events[i].data.ptr)
                go_on(events[i].data.ptr);
            else
                accept_one(listener);
    }
}

/* Before any fork: everybody knows everybody's row, and reaches everybody's queue. */
static void share_token(void)
{
    int i;

    rows = mmap(NULL, WORKERS_MAX * sizeof *rows, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rows == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    for (i = 0; i < WORKERS_MAX; i++)
        epolls[i] = epoll_create1(EPOLL_CLOEXEC);
}

int main(int argc, char **argv)
{
    const char *how = argc == 4 ? argv[3] : "";

    token = strcmp(how, "token") == 0;
    if (token)
        share_token();
    else if (strcmp(how, "steer") == 0)
        prefork_listening = steer_listening;
    return prefork(argc, argv, serve);
}
