#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct manager manager;

void open_manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    memset(&manager, 0, sizeof manager);
    manager.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(manager.name, sizeof manager.name, "%s", name);
    strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    else
        len = sizeof address;
    CHECK_EQ(bind(manager.socket, (struct sockaddr *)&address, len), 0);
}

void use_manager(void)
{
    setenv("NOTIFY_SOCKET", manager.name, 1);
    if (manager.watchdog_usec)
        setenv("WATCHDOG_USEC", manager.watchdog_usec, 1);
}

struct service managed(const char *name)
{
    struct service service = a_service();
    open_manager(name);
    service.before = use_manager;
    return service;
}

const char *at_no_path(void)
{
    static char name[100];
    snprintf(name, sizeof name, "@dtm-test-%d", (int)getpid());
    return name;
}

void close_manager(void)
{
    if (manager.name[0] == '/')
        CHECK_EQ(unlink(manager.name), 0);
    close(manager.socket);
    for (int i = 0; i < manager.stored_count; i++)
        close(manager.stored[i]);
}

/* As systemd: of those with this name, all. */
static void remove_stored(const char *name)
{
    int kept = 0;
    for (int i = 0; i < manager.stored_count; i++) {
        if (!strcmp(manager.stored_name[i], name)) {
            close(manager.stored[i]);
            continue;
        }
        manager.stored[kept] = manager.stored[i];
        memmove(manager.stored_name[kept++], manager.stored_name[i],
                sizeof manager.stored_name[0]);
    }
    manager.stored_count = kept;
}

bool keeps(const char *name)
{
    listen_to_it();
    for (int i = 0; i < manager.stored_count; i++)
        if (!strcmp(manager.stored_name[i], name))
            return true;
    return false;
}

void listen_to_it(void)
{
    for (;;) {
        CHECK(manager.count < MESSAGES);
        char *text = manager.text[manager.count];
        char control[CMSG_SPACE(sizeof(int) * 4)];
        struct iovec part = {text, sizeof manager.text[0] - 1};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(manager.socket, &message, MSG_CMSG_CLOEXEC);
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            return;
        }
        text[n] = 0;
        manager.count++;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head && head->cmsg_type == SCM_RIGHTS) {
            int at = manager.stored_count++;
            CHECK(at < STORE);
            memcpy(&manager.stored[at], CMSG_DATA(head), sizeof(int));
            CHECK(sscanf(text, "FDSTORE=1\nFDNAME=%127s", manager.stored_name[at]) == 1);
        }
        char gone[128];
        if (sscanf(text, "FDSTOREREMOVE=1\nFDNAME=%127s", gone) == 1)
            remove_stored(gone);
    }
}

/* Somebody else talks until it has room for nothing more. */
void fill_its_queue(void)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), sent = 0;
    CHECK_EQ(getsockname(manager.socket, (struct sockaddr *)&address, &len), 0);
    while (sendto(fd, "X=1", 3, 0, (struct sockaddr *)&address, len) == 3)
        CHECK(++sent < MESSAGES);
    CHECK_EQ(errno, EAGAIN);
    close(fd);
}

/* The first message at or after `from` in which this is a line; -1: none. */
int heard(const char *line, int from)
{
    listen_to_it();
    for (int i = from; i < manager.count; i++) {
        const char *text = manager.text[i], *at = strstr(text, line);
        if (at && (at == text || at[-1] == '\n'))
            return i;
    }
    return -1;
}

int count_heard(const char *line)
{
    int count = 0;
    for (int at = heard(line, 0); at >= 0; at = heard(line, at + 1))
        count++;
    return count;
}

/* The manager starts the service with what it keeps. */
void restore(void)
{
    char number[16], names[512] = "";
    int high[STORE];
    for (int i = 0; i < manager.stored_count; i++)
        high[i] = fcntl(manager.stored[i], F_DUPFD, 100);
    for (int i = 0; i < manager.stored_count; i++) {
        CHECK_EQ(dup2(high[i], 3 + i), 3 + i);
        close(high[i]);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ":" : "",
                 manager.stored_name[i]);
    }
    snprintf(number, sizeof number, "%d", manager.stored_count);
    setenv("LISTEN_FDS", number, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, 1);
}

void tell_heard(void)
{
    for (int i = 0; i < manager.count; i++)
        if (strcmp(manager.text[i], "WATCHDOG=1"))
            fprintf(stderr, "# manager %d: %s\n", i, manager.text[i]);
}
