/*
 * prefork.h - listening and forking by hand, as the servers without libdtm do it:
 * no reload, no replacement of the dead, no order in leaving.
 *
 * Usage of each of them: PROGRAM PORT WORKERS shared|reuseport (raw: or token, or steer)
 */
#ifndef PREFORK_H
#define PREFORK_H

#include "work.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WORKERS_MAX 512

static int prefork_workers, prefork_index; /* this worker's */

/* Where each worker has a listener of its own: one more of them listens. */
static void (*prefork_listening)(int index, int listener);

static int prefork_listen(uint16_t port, int reuseport)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (reuseport)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, WORK_BACKLOG) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

/* Fork the workers, each with its listener, and wait for them. */
static int prefork(int argc, char **argv, void (*serve)(int listener))
{
    int listeners[WORKERS_MAX], workers, reuseport, i;

    if (argc != 4 || (workers = atoi(argv[2])) < 1 || workers > WORKERS_MAX) {
        fprintf(stderr, "usage: %s PORT WORKERS shared|reuseport|token|steer\n", argv[0]);
        return 2;
    }
    reuseport = prefork_listening || strcmp(argv[3], "reuseport") == 0;
    prefork_workers = workers;
    for (i = 0; i < workers; i++) {
        listeners[i] = i == 0 || reuseport ? prefork_listen((uint16_t)atoi(argv[1]), reuseport)
                                           : listeners[0];
        if (prefork_listening)
            prefork_listening(i, listeners[i]);
    }
    for (i = 0; i < workers; i++) {
        if (fork() != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prefork_index = i;
        work_init();
        serve(listeners[i]);
        _exit(1);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    return 0;
}

#endif
