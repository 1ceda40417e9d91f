#define _GNU_SOURCE
#include "inject.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 8 };

static int calls[MOST + 1];
static void (*before_that)(void);

/* Shared by the driver and the host, which is the driver's child. */
static struct {
    int filter_fd, taken;
} * handover;

/* The driver's alone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct injection current;
static bool active;
static uint32_t seen, failed;

static int install(void)
{
    struct sock_filter filter[MOST + 3];
    unsigned short n = 0, many = 0;
    while (calls[many] >= 0)
        many++;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, nr));
    for (unsigned short i = 0; i < many; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(many - i), 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {.len = n, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* In the host: the driver takes the filter's descriptor, then it is closed here. */
static void install_and_hand_over(void)
{
    if (before_that)
        before_that();
    int fd = install();
    CHECK(fd >= 0);
    SET(handover->filter_fd, fd + 1);
    while (!GET(handover->taken)) /* no call that could be one of those */
        ;
    close(fd);
}

/* Is this call to fail? With what? */
static int verdict(const struct seccomp_notif *call)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    bool here = current.pid == 0 || ((int)call->pid == current.pid) != current.not_in;
    bool it = current.argument == 0 || call->data.args[current.argument - 1] == current.value;
    if (active && here && it && call->data.nr == current.call) {
        seen++;
        if (seen > current.after && (current.times == 0 || failed < current.times)) {
            error = current.error;
            failed++;
            if (getenv("DTM_TEST_TRACE"))
                fprintf(stderr, "# process %u: call %d(%llu, %llu, %llu) fails: %s\n",
                        call->pid, call->data.nr, call->data.args[0], call->data.args[1],
                        call->data.args[2], strerror(error));
        }
    }
    pthread_mutex_unlock(&lock);
    return error;
}

static void *answer_calls(void *data)
{
    int fd = (int)(intptr_t)data;
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    while (poll(&pollfd, 1, -1) >= 0 || errno == EINTR) {
        struct seccomp_notif call;
        struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        if (pollfd.revents & POLLHUP)
            break; /* the last process of the service has gone */
        memset(&call, 0, sizeof call);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue; /* killed meanwhile */
        int error = verdict(&call);
        answer.id = call.id;
        if (error != 0) {
            answer.error = -error;
            answer.flags = 0;
        }
        ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    close(fd);
    return NULL;
}

/* In the driver: fetch the descriptor, then answer. */
static void *fetch(void *data)
{
    (void)data;
    int number;
    while ((number = GET(handover->filter_fd)) == 0)
        usleep(1000);
    int process = (int)syscall(SYS_pidfd_open, GET(shared->host), 0);
    int fd = (int)syscall(SYS_pidfd_getfd, process, number - 1, 0);
    if (fd < 0)
        fail_at(__FILE__, __LINE__, "pidfd_getfd: %s", strerror(errno));
    close(process);
    SET(handover->taken, 1);
    return answer_calls((void *)(intptr_t)fd);
}

/* Once the host is forked, and not before: it may not find a lock of AddressSanitizer's
 * taken by a thread that it does not have. */
static void begin_to_answer(void)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fetch, NULL), 0);
    CHECK_EQ(pthread_detach(thread), 0);
}

void inject_into(struct service *service, const int *wanted)
{
    for (int i = 0; i <= MOST; i++) {
        calls[i] = wanted[i];
        if (wanted[i] < 0)
            break;
    }
    inject(NULL);
    before_that = service->before;
    service->before = install_and_hand_over;
    service->launched = begin_to_answer;
    handover = shared_memory(sizeof *handover);
}

void inject(const struct injection *what)
{
    pthread_mutex_lock(&lock);
    active = what != NULL;
    if (what)
        current = *what;
    seen = failed = 0;
    pthread_mutex_unlock(&lock);
}

uint32_t injected(void)
{
    pthread_mutex_lock(&lock);
    uint32_t count = failed;
    pthread_mutex_unlock(&lock);
    return count;
}

bool can_inject(void)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 &&
           (syscall(SYS_pidfd_getfd, -1, 0, 0) == 0 || errno != ENOSYS);
}
