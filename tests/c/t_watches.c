/*
 * Other fds, wake-ups in the same pass, timers.
 * flow: W5, W8, L14, L16, L17
 * valgrind: yes
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the worker in this process holds: a back-end connection (one end of a
 * socket pair, the service plays both), the clients that wait for it, a timer. */
static dtm_watch_t *back_end;
static int far_end = -1;
static dtm_client_t *waiting[2];
static dtm_timer_t *timer;
static int fired;

enum { WATCH_CLOSED, WATCH_REASON, WATCH_EVENTS, ORDER, FIRED };

static int32_t on_back_end(dtm_t *rt, dtm_watch_t *watch, uint32_t events, void *data)
{
    (void)rt, (void)data;
    char text[64];
    shared->custom[WATCH_EVENTS] |= (int)events;
    CHECK_EQ(dtm_client_fd((dtm_client_t *)watch), DTM_EGONE); /* alive, but no client */
    if (events & DTM_READ) {
        ssize_t n = recv(dtm_watch_fd(watch), text, sizeof text, MSG_DONTWAIT);
        if (n == 0)
            return DTM_DONE;
    }
    for (int i = 0; i < 2; i++)
        if (waiting[i])
            dtm_client_wake(waiting[i]);
    return DTM_READ;
}

static void on_back_end_close(dtm_t *rt, dtm_watch_t *watch, int32_t reason, void *data)
{
    (void)rt, (void)watch, (void)data;
    back_end = NULL;
    shared->custom[WATCH_REASON] = reason;
    ADD(shared->custom[WATCH_CLOSED], 1);
}

static void on_timer(dtm_t *rt, dtm_timer_t *self, void *data)
{
    (void)rt, (void)data;
    fired++;
    ADD(shared->custom[FIRED], 1);
    if (fired == 3) {
        CHECK_EQ(dtm_timer_free(self), DTM_OK); /* allowed in its own callback */
        timer = NULL;
    }
}

static int connect_back_end(dtm_t *rt)
{
    int ends[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    far_end = ends[1];
    return dtm_watch_add(rt, ends[0], DTM_READ, on_back_end, on_back_end_close, NULL,
                         &back_end);
}

static int misuse_watches(dtm_t *rt)
{
    dtm_watch_t *watch = NULL;
    FILE *file = tmpfile();
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQ(dtm_watch_add(rt, fileno(file), DTM_READ, on_back_end, NULL, NULL, &watch),
             -EPERM);
    CHECK_EQ(dtm_watch_add(rt, 9999, DTM_READ, on_back_end, NULL, NULL, &watch), -EBADF);
    CHECK_EQ(dtm_watch_add(rt, fd, DTM_READ, NULL, NULL, NULL, &watch), DTM_EINVAL);
    CHECK_EQ(dtm_watch_add(rt, fd, 0x4000, on_back_end, NULL, NULL, &watch), DTM_EINVAL);
    CHECK(!watch);
    CHECK_EQ(dtm_watch_add(rt, fd, DTM_READ, on_back_end, NULL, &watch, &watch), DTM_OK);
    CHECK(dtm_watch_data(watch) == &watch);
    CHECK_EQ(dtm_watch_add(rt, fd, DTM_READ, on_back_end, NULL, NULL, &back_end), -EEXIST);
    CHECK_EQ(dtm_watch_release(watch), fd); /* open still, and ours again */
    CHECK_EQ(dtm_watch_close(watch), DTM_EGONE);
    CHECK_EQ(close(fd), 0);
    fclose(file);
    return 0;
}

/* Requests: see the cases below. */
static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    unsigned ms = 0;
    if (!strcmp(line, "connect")) {
        snprintf(reply, size, "%d", connect_back_end(rt));
    } else if (!strcmp(line, "use")) {
        waiting[waiting[0] ? 1 : 0] = client;
        dtm_client_set_busy(client, 1);
        return NO_REPLY;
    } else if (!strcmp(line, "back end says")) {
        CHECK_EQ(send(far_end, "x", 1, MSG_NOSIGNAL), 1);
    } else if (!strcmp(line, "back end hangs up")) {
        close(far_end);
    } else if (!strcmp(line, "wake")) {
        CHECK_EQ(dtm_watch_wake(back_end), DTM_OK);
        CHECK_EQ(dtm_watch_wake(back_end), DTM_OK); /* twice is once */
    } else if (sscanf(line, "back end timeout %u", &ms) == 1) {
        snprintf(reply, size, "%d", dtm_watch_set_timeout(back_end, ms));
    } else if (!strcmp(line, "drop")) {
        snprintf(reply, size, "%d", dtm_watch_close(back_end));
    } else if (!strcmp(line, "has")) {
        snprintf(reply, size, "%d", back_end != NULL);
    } else if (sscanf(line, "every %u", &ms) == 1) {
        fired = 0;
        snprintf(reply, size, "%d", dtm_timer_add(rt, ms, ms, on_timer, NULL, &timer));
    } else if (!strcmp(line, "misuse")) {
        snprintf(reply, size, "%d", misuse_watches(rt));
    } else {
        return NOT_MINE;
    }
    return DTM_READ;
}

/* The clients that a back end woke answer in the order in which they were woken. */
static dtm_client_step_cb base_step;

static int32_t on_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    if (events & DTM_WAKE) {
        char text[32];
        int which = client == waiting[1];
        int n = snprintf(text, sizeof text, "woken %d\n", ADD(shared->custom[ORDER], 1));
        CHECK_EQ(send(dtm_client_fd(client), text, (size_t)n, MSG_NOSIGNAL), n);
        waiting[which] = NULL;
        dtm_client_set_busy(client, 0);
        if (!(events & ~(uint32_t)DTM_WAKE))
            return DTM_READ;
    }
    return base_step(rt, client, events, user_data);
}

static struct service watching(void)
{
    struct service service = a_service();
    service.config.workers = 1; /* all clients in one process */
    service.request = request;
    base_step = service.callbacks.client_step;
    service.callbacks.client_step = on_step;
    return service;
}

/* L16, L17: a back end wakes the clients that wait for it. */
static void back_end_wakes_clients(void)
{
    struct service service = watching();
    start(&service);
    int a = dial(shared->port[0]), b = dial(shared->port[0]), c = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(c, "connect")), DTM_OK);
    say(a, "use");
    WAIT(GET(shared->steps) >= 2);
    say(b, "use");
    WAIT(GET(shared->steps) >= 3);
    ask(c, "back end says");
    CHECK(!strcmp(hear(a), "woken 1"));
    CHECK(!strcmp(hear(b), "woken 2"));
    CHECK(shared->custom[WATCH_EVENTS] & DTM_READ);
    hang_up(a), hang_up(b), hang_up(c);
    finish();
    CHECK_EQ(shared->custom[WATCH_CLOSED], 1); /* closed with the process */
}

/* The other way: a client's step wakes the watch's. */
static void client_wakes_back_end(void)
{
    struct service service = watching();
    start(&service);
    int a = dial(shared->port[0]), c = dial(shared->port[0]);
    ask(c, "connect");
    say(a, "use");
    WAIT(GET(shared->steps) >= 2);
    ask(c, "wake");
    CHECK(!strcmp(hear(a), "woken 1"));
    CHECK(shared->custom[WATCH_EVENTS] & DTM_WAKE);
    hang_up(a), hang_up(c);
    finish();
}

/* L16: a connection outlives the client that opened it. */
static void outlives_its_client(void)
{
    struct service service = watching();
    start(&service);
    int a = dial(shared->port[0]);
    ask(a, "connect");
    hang_up(a);
    WAIT(GET(shared->closed[DTM_CLOSE_DONE]) == 1);
    int b = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(b, "has")), 1);
    CHECK_EQ(atoi(ask(b, "drop")), DTM_OK);
    WAIT(GET(shared->custom[WATCH_CLOSED]) == 1);
    CHECK_EQ(shared->custom[WATCH_REASON], DTM_CLOSE_ASKED);
    CHECK_EQ(atoi(ask(b, "has")), 0);
    hang_up(b);
    finish();
}

static void ends_of_a_watch(void)
{
    struct service service = watching();
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "connect");
    ask(fd, "back end hangs up");
    WAIT(GET(shared->custom[WATCH_CLOSED]) == 1);
    CHECK(shared->custom[WATCH_REASON] == DTM_CLOSE_DONE ||
          shared->custom[WATCH_REASON] == DTM_CLOSE_PEER);
    ask(fd, "connect");
    CHECK_EQ(atoi(ask(fd, "back end timeout 20")), DTM_OK); /* L14: server_timeout */
    WAIT(GET(shared->custom[WATCH_CLOSED]) == 2);
    CHECK_EQ(shared->custom[WATCH_REASON], DTM_CLOSE_TIMEOUT);
    who(fd);
    hang_up(fd);
    finish();
    CHECK_EQ(shared->custom[WATCH_CLOSED], 2);
}

static void timers(void)
{
    struct service service = watching();
    service.config.worker_tick_ms = 5;
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "every 5")), DTM_OK);
    WAIT(GET(shared->custom[FIRED]) == 3);
    int ticks = GET(nth_open(0)->ticks);
    WAIT(GET(nth_open(0)->ticks) >= ticks + 5);
    CHECK_EQ(GET(shared->custom[FIRED]), 3);
    hang_up(fd);
    finish();
}

static void misuse(void)
{
    struct service service = watching();
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "misuse")), 0);
    hang_up(fd);
    finish();
}

static const struct test tests[] = {
    {"a back end wakes the clients that wait", back_end_wakes_clients},
    {"a client wakes a back end", client_wakes_back_end},
    {"a watch outlives its client", outlives_its_client},
    {"the ends of a watch", ends_of_a_watch},
    {"timers and ticks", timers},
    {"fds that cannot be watched", misuse},
};
TEST_MAIN(tests)
