/*
 * http_peer PORT CLIENTS: keep-alive clients that are idle most of the time, until stdin
 * ends. Then: how many requests were answered, how many answers said that the connection
 * closes, and what went wrong. A request that was sent and not answered is lost, whatever
 * became of its connection; nothing is tried again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 256, IDLE_MS = 60, ANSWER_MS = 20000 };

static struct client {
    int fd; /* -1: none */
    int asked;
    uint64_t due; /* the next request; or the end of patience with its answer */
    size_t used;
    char answer[1024];
} clients[CLIENTS];

static uint64_t answered, hinted, refused, lost, wrong, unhinted;
static int port;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void rest(struct client *client)
{
    client->asked = 0;
    client->due = now_ms() + (uint64_t)(rand() % IDLE_MS);
}

static void hang_up(struct client *client)
{
    close(client->fd);
    client->fd = -1;
    client->used = 0;
    rest(client);
}

static void ask(struct client *client)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    if (client->fd < 0) {
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&in, sizeof in) < 0) {
            refused++;
            return hang_up(client);
        }
    }
    client->asked = 1;
    client->due = now_ms() + ANSWER_MS;
    if (send(client->fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1) {
        lost++;
        hang_up(client);
    }
}

static void hear(struct client *client)
{
    size_t room = sizeof client->answer - 1 - client->used;
    ssize_t n = recv(client->fd, client->answer + client->used, room, 0);
    char *body, *length;

    if (n <= 0) {
        lost += client->asked;
        unhinted += !client->asked;
        return hang_up(client);
    }
    client->used += (size_t)n;
    client->answer[client->used] = 0;
    body = strstr(client->answer, "\r\n\r\n");
    length = strstr(client->answer, "Content-Length: ");
    if (!body || !length || strlen(body + 4) < (size_t)atoi(length + 16))
        return;
    if (!client->asked || strncmp(client->answer, "HTTP/1.1 200", 12) ||
        strncmp(body + 4, "worker ", 7))
        wrong++;
    answered++;
    if (strstr(client->answer, "Connection: close")) {
        hinted++;
        return hang_up(client);
    }
    client->used = 0;
    rest(client);
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[2]) : 1;
    struct pollfd fds[CLIENTS + 1];

    port = argc > 1 ? atoi(argv[1]) : 0;
    for (int i = 0; i < count && i < CLIENTS; i++) {
        clients[i].fd = -1;
        rest(&clients[i]);
    }
    for (int over = 0, waits = 1; !over || waits;) {
        uint64_t now = now_ms(), wake = now + 100;
        waits = 0;
        for (int i = 0; i < count; i++) {
            struct client *client = &clients[i];
            if (client->asked && client->due <= now) {
                lost++;
                hang_up(client);
            } else if (!client->asked && client->due <= now && !over) {
                ask(client);
            }
            waits += client->asked;
            wake = client->due < wake ? client->due : wake;
            fds[i] = (struct pollfd){.fd = client->fd, .events = POLLIN};
        }
        fds[count] = (struct pollfd){.fd = over ? -1 : 0, .events = POLLIN};
        now = now_ms();
        poll(fds, (nfds_t)count + 1, wake > now && !over ? (int)(wake - now) : over ? 10 : 0);
        for (int i = 0; i < count; i++)
            if (fds[i].revents && clients[i].fd >= 0)
                hear(&clients[i]);
        over |= fds[count].revents != 0;
    }
    printf("answered %llu hinted %llu refused %llu lost %llu wrong %llu unhinted %llu\n",
           (unsigned long long)answered, (unsigned long long)hinted,
           (unsigned long long)refused, (unsigned long long)lost, (unsigned long long)wrong,
           (unsigned long long)unhinted);
    return 0;
}
