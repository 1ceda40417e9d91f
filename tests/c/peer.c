#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_SECONDS = 30 };

char detail[512];

static int connect_to(const struct sockaddr *address, socklen_t len)
{
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, address, len) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int try_dial(int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect_to((struct sockaddr *)&in, sizeof in);
}

int dial(int port)
{
    int fd = try_dial(port);
    if (fd < 0)
        fail_at(__FILE__, __LINE__, "connect to port %d: %s", port, strerror(errno));
    return fd;
}

int dial_address(const char *address)
{
    int port = 0;
    if (sscanf(address, "127.0.0.1:%d", &port) == 1)
        return dial(port);
    if (sscanf(address, "[::1]:%d", &port) == 1) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        in6.sin6_addr = in6addr_loopback;
        int fd = connect_to((struct sockaddr *)&in6, sizeof in6);
        CHECK(fd >= 0);
        return fd;
    }
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    CHECK(!strncmp(address, "unix:", 5));
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    int fd = connect_to((struct sockaddr *)&un, sizeof un);
    if (fd < 0)
        fail_at(__FILE__, __LINE__, "connect to %s: %s", address, strerror(errno));
    return fd;
}

void hang_up(int fd)
{
    close(fd);
}

static bool try_say(int fd, const char *line)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "%s\n", line);
    return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

void say(int fd, const char *line)
{
    if (!try_say(fd, line))
        fail_at(__FILE__, __LINE__, "send '%s': %s", line, strerror(errno));
}

/* Byte by byte: nothing behind the line may be taken away. */
static ssize_t try_hear(int fd, char *line, size_t size)
{
    size_t len = 0;
    while (len < size - 1) {
        ssize_t n = recv(fd, line + len, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n;
        if (line[len] == '\n')
            break;
        len++;
    }
    line[len] = 0;
    return 1;
}

const char *hear(int fd)
{
    static char line[2048];
    ssize_t n = try_hear(fd, line, sizeof line);
    if (n < 0 && errno == EAGAIN)
        fail_at(__FILE__, __LINE__, "no answer in %d s", ANSWER_SECONDS);
    return n > 0 ? line : NULL;
}

bool has_answer(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    return poll(&pollfd, 1, 0) == 1;
}

int count_answered(const int *fds, int many)
{
    int count = 0;
    for (int i = 0; i < many; i++)
        count += has_answer(fds[i]);
    return count;
}

const char *ask(int fd, const char *line)
{
    say(fd, line);
    const char *answer = hear(fd);
    if (!answer)
        fail_at(__FILE__, __LINE__, "hung up on instead of an answer to '%s'", line);
    return answer;
}

static bool parse_who(const char *line, struct who *ret)
{
    unsigned long long spawn;
    if (sscanf(line, "%d %u %u %llu %d", &ret->pid, &ret->slot, &ret->generation, &spawn,
               &ret->version) != 5)
        return false;
    ret->spawn = spawn;
    return true;
}

struct who who(int fd)
{
    struct who who_;
    CHECK(parse_who(ask(fd, "who"), &who_));
    return who_;
}

struct kid *kid_at(int fd)
{
    return kid_of(who(fd).spawn);
}

int dial_worker(const struct kid *kid)
{
    int others[256];
    size_t count = 0;
    CHECK(kid);
    for (;;) {
        int fd = dial(shared->port[0]);
        if (who(fd).spawn == kid->spawn) {
            while (count)
                hang_up(others[--count]);
            return fd;
        }
        CHECK(count < 256);
        others[count++] = fd; /* kept: the schedule goes by load */
    }
}

bool serves(void)
{
    int fd = dial(shared->port[0]);
    struct who answer = who(fd);
    hang_up(fd);
    return answer.pid > 0;
}

int ask_command(const char *line)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s", control_path());
    int fd = dial_address(address);
    say(fd, line);
    return fd;
}

int command_answer(int fd)
{
    int status = 0;
    const char *answer = hear(fd);
    if (!answer)
        fail_at(__FILE__, __LINE__, "the controller hung up");
    CHECK(sscanf(answer, "%d", &status) == 1);
    snprintf(detail, sizeof detail, "%s", strchr(answer, ' ') ? strchr(answer, ' ') + 1 : "");
    hang_up(fd);
    return status;
}

int command(const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return command_answer(ask_command(line));
}

dtm_worker_t *listed(uint32_t index)
{
    CHECK_EQ(command("accept 0"), DTM_OK);
    for (uint32_t i = 0; i < shared->worker_count; i++)
        if (shared->worker[i].index == index)
            return &shared->worker[i];
    return NULL;
}

/* One request on a connection of its own; the counter that its outcome belongs to. */
static int *request(struct load *load)
{
    char line[256];
    struct who answer;
    int fd = try_dial(shared->port[0]);
    if (fd < 0)
        return errno == ECONNREFUSED ? &load->refused : &load->lost;
    int *outcome = &load->answered;
    /* The service hangs up first, so that no port of ours stays in TIME_WAIT. */
    ssize_t n = try_say(fd, "who\ndone") ? try_hear(fd, line, sizeof line) : -1;
    if (n <= 0)
        outcome = n < 0 && errno == ECONNRESET ? &load->reset : &load->lost;
    else if (!parse_who(line, &answer))
        outcome = &load->wrong;
    else
        while (recv(fd, line, sizeof line, 0) > 0)
            ;
    close(fd);
    return outcome;
}

struct load *load_start(int processes)
{
    struct load *load = shared_memory(sizeof *load);
    for (int i = 0; i < processes && i < 8; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            sigset_t all; /* what disturbs the service must not disturb us */
            sigfillset(&all);
            sigprocmask(SIG_SETMASK, &all, NULL);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (!GET(load->stop))
                ADD(*request(load), 1);
            _exit(0);
        }
        load->pids[i] = pid;
    }
    WAIT(GET(load->answered) > 0);
    return load;
}

void load_stop(struct load *load)
{
    SET(load->stop, 1);
    for (int i = 0; i < 8; i++)
        if (load->pids[i])
            WAIT(ended(load->pids[i], NULL));
}
