/*
 * uring.c - the server by hand on io_uring, for what the kernel's other interface would
 * bring. Two programs are made of it.
 *
 * uring: completions. Accept and receive are asked for once and answered again and again
 * (multishot), into buffers that the kernel picks; sends go out with the next wait.
 * uring_poll (READINESS): io_uring says only what is readable, and the server calls
 * accept4(), recv() and send() as with epoll. That is all that a library could use it for
 * whose services do their own I/O.
 */
#define _GNU_SOURCE
#include "prefork.h"

#include <liburing.h>
#include <poll.h>

#define ENTRIES 1024
#define BUFFERS 512 /* a power of 2; of WORK_BUFFER bytes each */

struct client {
    int fd, sends, gone;
    struct conn conn;
};

/* What a completion is of: a client, and in its lowest bit whether it is a send. The
 * listener has no client. */
enum { IS_SEND = 1 };

static struct io_uring ring;

static void fail(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n", what, strerror(-code));
    _exit(1);
}

static struct io_uring_sqe *ask(void *client, unsigned int is_send)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    while (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)client | is_send);
    return sqe;
}

/* The preparations of liburing overwrite what stands in user_data. */
#define ASK(client, is_send, prepare, ...)                                                     \
    do {                                                                                       \
        struct io_uring_sqe *sqe_ = ask(client, is_send);                                      \
        prepare(sqe_, __VA_ARGS__);                                                            \
        io_uring_sqe_set_data64(sqe_, (uint64_t)(uintptr_t)(client) | (is_send));              \
    } while (0)

static struct client *open_client(int fd)
{
    struct client *client = malloc(sizeof *client);

    client->fd = fd;
    client->sends = client->gone = 0;
    client->conn.left = client->conn.used = 0;
    return client;
}

#ifdef READINESS

static void watch(int fd, struct client *client)
{
    ASK(client, 0, io_uring_prep_poll_multishot, fd, POLLIN);
}

static void setup(int listener)
{
    watch(listener, NULL);
}

/* It is told once that something waits, however many there are. */
static void accept_all(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(fd, open_client(fd));
}

static void handle(int listener, struct client *client, unsigned int is_send,
                   const struct io_uring_cqe *cqe)
{
    int more = (cqe->flags & IORING_CQE_F_MORE) != 0;

    if (is_send) /* the answer to an end of watching */
        return;
    if (!client) {
        accept_all(listener);
        if (!more)
            watch(listener, NULL);
        return;
    }
    if (!client->gone && work_step(&client->conn, client->fd) == WORK_DONE) {
        client->gone = 1;
        if (more) /* it holds the socket open */
            ASK(client, IS_SEND, io_uring_prep_poll_remove, (uint64_t)(uintptr_t)client);
    }
    if (more)
        return;
    if (!client->gone)
        return watch(client->fd, client);
    close(client->fd);
    free(client);
}

#else

static struct io_uring_buf_ring *buffers;
static char *memory;

static void give_back(int buffer)
{
    io_uring_buf_ring_add(buffers, memory + buffer * WORK_BUFFER, WORK_BUFFER,
                          (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void listen_on(int listener)
{
    ASK(NULL, 0, io_uring_prep_multishot_accept, listener, NULL, NULL, SOCK_CLOEXEC);
}

static void receive(struct client *client)
{
    struct io_uring_sqe *sqe = ask(client, 0);

    io_uring_prep_recv_multishot(sqe, client->fd, NULL, 0, 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)client);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

static void send_rest(struct client *client)
{
    ASK(client, IS_SEND, io_uring_prep_send, client->fd, client->conn.out, client->conn.left,
        MSG_NOSIGNAL);
    client->sends++;
}

static void setup(int listener)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    int i, code;

    memory = aligned_alloc(4096, BUFFERS * WORK_BUFFER);
    buffers = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
    reg.ring_addr = (uint64_t)(uintptr_t)buffers;
    if ((code = io_uring_register_buf_ring(&ring, &reg, 0)) != 0)
        fail("io_uring_register_buf_ring", code);
    io_uring_buf_ring_init(buffers);
    for (i = 0; i < BUFFERS; i++)
        give_back(i);
    listen_on(listener);
}

static void end(struct client *client)
{
    client->gone = 1;
    if (client->sends)
        return;
    close(client->fd);
    free(client);
}

static void received(struct client *client, const struct io_uring_cqe *cqe)
{
    struct conn *conn = &client->conn;
    size_t room = sizeof conn->buf - conn->used, len = cqe->res > 0 ? (size_t)cqe->res : 0;
    int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

    if (cqe->res == -ENOBUFS)
        return receive(client);
    if (cqe->res <= 0)
        return end(client);
    memcpy(conn->buf + conn->used, memory + buffer * WORK_BUFFER, len < room ? len : room);
    conn->used += len < room ? len : room;
    give_back(buffer);
    work_answer(conn);
    if (conn->left > 0 && !client->sends)
        send_rest(client);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        receive(client);
}

static void handle(int listener, struct client *client, unsigned int is_send,
                   const struct io_uring_cqe *cqe)
{
    if (!client) {
        if (cqe->res >= 0)
            receive(open_client(cqe->res));
        if (!(cqe->flags & IORING_CQE_F_MORE))
            listen_on(listener);
        return;
    }
    if (!is_send)
        return received(client, cqe);
    client->sends--;
    if (client->gone)
        return end(client);
    if (cqe->res > 0) {
        client->conn.out += cqe->res;
        client->conn.left -= (size_t)cqe->res;
        if (client->conn.left > 0)
            send_rest(client);
    }
}

#endif

static void serve(int listener)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN};
    int code = io_uring_queue_init_params(ENTRIES, &ring, &params);

    if (code != 0)
        fail("io_uring_setup", code);
    setup(listener);
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned int head, seen = 0;

        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            uint64_t data = cqe->user_data;

            handle(listener, (struct client *)(uintptr_t)(data & ~(uint64_t)IS_SEND),
                   data & IS_SEND, cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}

int main(int argc, char **argv)
{
    return prefork(argc, argv, serve);
}
