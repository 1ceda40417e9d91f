#define _GNU_SOURCE
/*
 * The clients: each process has connections of one kind, one after the other, and says of
 * each failure what explains it.
 */
#include "ledger.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 40 };
enum kind { SHORT, KEEP_ALIVE, PIPELINED, SLOW, RESETTING, UNIX, EARLY_LEAVER };

static int port;
static char unix_path[108];
static pid_t pids[KINDS];

/* A connection in this process. */
static struct {
    int fd, outages;
    uint16_t port;
    uint32_t worker; /* who has answered on it */
    uint64_t kills, begun;
    bool dying; /* a worker was being killed when this began, and may have accepted it */
} conn;
static struct tally *tally;
static enum kind kind;
static unsigned requests;

static void sleep_ms(unsigned ms)
{
    usleep(ms * 1000);
}

static bool begin(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(un.sun_path, unix_path, sizeof un.sun_path);
    const struct sockaddr *to = kind == UNIX ? (struct sockaddr *)&un : (struct sockaddr *)&in;
    socklen_t len = kind == UNIX ? sizeof un : sizeof in;

    conn.outages = GET(ledger->outages);
    conn.kills = GET(ledger->kills);
    conn.dying = GET(ledger->dying) > 0;
    conn.begun = now_ms();
    conn.worker = 0;
    conn.port = 0;
    conn.fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(conn.fd >= 0);
    setsockopt(conn.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(conn.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(conn.fd, to, len) != 0) {
        int error = errno;
        close(conn.fd);
        if (GET(ledger->down) || conn.outages != GET(ledger->outages)) {
            ADD(tally->outage, 1);
            sleep_ms(2);
        } else if (error == ECONNREFUSED || error == ENOENT) {
            ADD(tally->refused, 1);
        } else {
            ADD(tally->late, 1);
        }
        return false;
    }
    ADD(tally->connects, 1);
    if (kind != UNIX) {
        len = sizeof in;
        CHECK_EQ(getsockname(conn.fd, (struct sockaddr *)&in, &len), 0);
        conn.port = ntohs(in.sin_port);
    }
    return true;
}

static void end(void)
{
    close(conn.fd);
    if (conn.port)
        SET(ledger->owner[conn.port], 0); /* the port will be another's */
}

/* Who has it: 0 before anybody has accepted it. An older entry is of a connection that had
 * the same port, and whose client left before it was accepted. */
static uint32_t owner_of_it(void)
{
    if (conn.worker || !conn.port)
        return conn.worker;
    uint64_t entry = GET(ledger->owner[conn.port]);
    return entry >> 16 >= conn.begun ? (uint32_t)(entry & 0xffff) : 0;
}

/* There was to be an answer and there is none. Why? */
static bool fail(const char *how)
{
    int error = errno;
    uint32_t owner = owner_of_it();
    if (GET(ledger->down) || conn.outages != GET(ledger->outages)) {
        ADD(tally->outage, 1);
    } else if (owner && GET(ledger->spawn[owner].doomed)) {
        ADD(tally->killed, 1);
    } else if (!owner && (conn.dying || conn.kills != GET(ledger->kills))) {
        ADD(tally->unowned, 1);
    } else {
        if (ADD(tally->unexplained, 1) == 1)
            snprintf(ledger->first_failure, sizeof ledger->first_failure,
                     "load %d, request %u: %s (%s), port %u of worker %u", kind, requests, how,
                     strerror(error), conn.port, owner);
    }
    return false;
}

static bool send_requests(int many)
{
    char text[1024];
    int len = 0;
    for (int i = 1; i <= many; i++)
        len +=
            snprintf(text + len, sizeof text - (size_t)len, "q %u\n", requests + (unsigned)i);
    if (send(conn.fd, text, (size_t)len, MSG_NOSIGNAL) == len)
        return true;
    return fail("send");
}

static bool read_line(char *line, size_t size)
{
    for (size_t len = 0; len < size; len++) {
        ssize_t n = recv(conn.fd, line + len, 1, 0);
        if (n < 0 && errno == EINTR) {
            len--;
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? 0 : errno;
            if (n < 0 && errno == EAGAIN)
                ADD(tally->late, 1);
            return fail("recv");
        }
        if (kind == SLOW)
            sleep_ms(1);
        if (line[len] == '\n') {
            line[len] = 0;
            return true;
        }
    }
    return fail("too long a line");
}

/* False: it failed, or this was the last answer here. */
static bool read_answer(void)
{
    char line[128];
    unsigned id, worker, generation;
    int last;
    if (!read_line(line, sizeof line))
        return false;
    requests++;
    if (sscanf(line, "%u %u %u %d", &id, &worker, &generation, &last) != 4 || id != requests ||
        (conn.worker && conn.worker != worker)) {
        ADD(tally->wrong, 1);
        return false;
    }
    conn.worker = worker;
    ADD(tally->answered, 1);
    return !last;
}

static void reset(void)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void talk(void)
{
    switch (kind) {
    case SHORT:
    case UNIX:
        if (send_requests(1))
            read_answer();
        break;
    case KEEP_ALIVE:
        for (int i = 0; i < 50 && !GET(ledger->pause) && send_requests(1) && read_answer(); i++)
            sleep_ms((unsigned)rand() % 20);
        break;
    case PIPELINED:
        for (int i = 0; i < 5 && send_requests(10); i++)
            for (int answers = 0; answers < 10; answers++)
                if (!read_answer())
                    return;
        break;
    case SLOW:
        if (send_requests(3))
            for (int i = 0; i < 3 && read_answer(); i++)
                sleep_ms(10);
        break;
    case RESETTING:
        if (rand() % 2)
            send(conn.fd, "q 1\nq 2\n", 8, MSG_NOSIGNAL);
        reset();
        break;
    case EARLY_LEAVER: send(conn.fd, "q 1\nhalf a li", 13, MSG_NOSIGNAL); break;
    }
}

static void live(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    srand((unsigned)kind);
    while (!GET(ledger->stop)) {
        if (GET(ledger->pause)) {
            ADD(ledger->paused, 1);
            while (GET(ledger->pause) && !GET(ledger->stop))
                sleep_ms(1);
            ADD(ledger->paused, -1);
            continue;
        }
        requests = 0;
        if (begin()) {
            talk();
            end();
        }
        if (kind == RESETTING || kind == EARLY_LEAVER)
            sleep_ms(2);
    }
    _exit(0);
}

int load_begin(int service_port, const char *path)
{
    port = service_port;
    snprintf(unix_path, sizeof unix_path, "%s", path);
    for (int i = 0; i < KINDS; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            kind = (enum kind)i;
            tally = &ledger->tally[i];
            live();
        }
    }
    return KINDS;
}

void load_pause(bool pause)
{
    SET(ledger->pause, pause);
    WAIT(GET(ledger->paused) == (pause ? KINDS : 0));
}

void load_end(void)
{
    SET(ledger->stop, 1);
    for (int i = 0; i < KINDS; i++)
        WAIT(ended(pids[i], NULL));
}

uint64_t load_sum(size_t offset)
{
    uint64_t sum = 0;
    for (int i = 0; i < KINDS; i++)
        sum += GET(*(uint64_t *)((char *)&ledger->tally[i] + offset));
    return sum;
}
