#define _GNU_SOURCE
#include "diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void count(struct backlogs *all, uint32_t backlog)
{
    if (all->sockets++ == 0 || backlog < all->least)
        all->least = backlog;
    if (backlog > all->most)
        all->most = backlog;
}

struct wanted {
    int port;
    const char *begin;
    struct backlogs found;
};

static void tcp_socket(const struct nlmsghdr *head, struct wanted *wanted)
{
    const struct inet_diag_msg *socket = NLMSG_DATA(head);
    if (ntohs(socket->id.idiag_sport) == wanted->port)
        count(&wanted->found, socket->idiag_wqueue);
}

static void unix_socket(const struct nlmsghdr *head, struct wanted *wanted)
{
    const struct unix_diag_msg *socket = NLMSG_DATA(head);
    int left = (int)NLMSG_PAYLOAD(head, sizeof *socket);
    bool named = false;
    uint32_t backlog = 0;
    for (struct rtattr *a = (struct rtattr *)(socket + 1); RTA_OK(a, left);
         a = RTA_NEXT(a, left)) {
        if (a->rta_type == UNIX_DIAG_NAME)
            named = RTA_PAYLOAD(a) >= strlen(wanted->begin) &&
                    !memcmp(RTA_DATA(a), wanted->begin, strlen(wanted->begin));
        else if (a->rta_type == UNIX_DIAG_RQLEN)
            backlog = ((struct unix_diag_rqlen *)RTA_DATA(a))->udiag_wqueue;
    }
    if (named)
        count(&wanted->found, backlog);
}

static void ask_kernel(const void *request, size_t size, struct wanted *wanted,
                       void (*each)(const struct nlmsghdr *, struct wanted *))
{
    char answer[32768] __attribute__((aligned(8)));
    struct nlmsghdr *head = (struct nlmsghdr *)answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    CHECK(fd >= 0);
    head->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    head->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    head->nlmsg_seq = 1;
    memcpy(NLMSG_DATA(head), request, size);
    CHECK_EQ(send(fd, answer, head->nlmsg_len, 0), head->nlmsg_len);
    for (bool done = false; !done;) {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        CHECK(n > 0);
        uint32_t left = (uint32_t)n;
        for (head = (struct nlmsghdr *)answer; NLMSG_OK(head, left) && !done;
             head = NLMSG_NEXT(head, left)) {
            CHECK(head->nlmsg_type != NLMSG_ERROR);
            done = head->nlmsg_type == NLMSG_DONE;
            if (!done)
                each(head, wanted);
        }
    }
    close(fd);
}

struct backlogs backlogs_at_port(int port)
{
    struct wanted wanted = {.port = port};
    struct inet_diag_req_v2 request = {.sdiag_family = AF_INET,
                                       .sdiag_protocol = IPPROTO_TCP,
                                       .idiag_states = 1 << TCP_LISTEN};
    ask_kernel(&request, sizeof request, &wanted, tcp_socket);
    return wanted.found;
}

struct backlogs backlogs_at_path(const char *begin)
{
    struct wanted wanted = {.begin = begin};
    struct unix_diag_req request = {.sdiag_family = AF_UNIX,
                                    .udiag_states = 1 << TCP_LISTEN,
                                    .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN};
    ask_kernel(&request, sizeof request, &wanted, unix_socket);
    return wanted.found;
}
