/*
 * No memory: malloc() of the whole program, libdtm included, fails when the driver wants.
 * faults: B07
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || !defined __GLIBC__
int main(void)
{
    return 77; /* the sanitizer has replaced malloc() itself */
}
#else

/* The C library's own, under the names that it keeps for those who replace them. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t many, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* Shared by all processes: who is to run out of memory, after so many more requests. */
static struct {
    int pid, after, failed, requests;
} * shortage;

static bool short_of_memory(void)
{
    if (!shortage || GET(shortage->pid) != getpid())
        return false;
    ADD(shortage->requests, 1);
    if (ADD(shortage->after, -1) >= 0)
        return false;
    ADD(shortage->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return short_of_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t many, size_t size)
{
    return short_of_memory() ? NULL : __libc_calloc(many, size);
}

void *realloc(void *p, size_t size)
{
    return short_of_memory() ? NULL : __libc_realloc(p, size);
}

void *memalign(size_t alignment, size_t size)
{
    return short_of_memory() ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *p = memalign(alignment, size);
    if (p)
        *ret = p;
    return p ? 0 : ENOMEM;
}

static void run_out(pid_t pid, int after)
{
    if (!shortage)
        return;
    SET(shortage->pid, 0);
    SET(shortage->after, after);
    SET(shortage->requests, 0);
    SET(shortage->failed, 0);
    SET(shortage->pid, (int)pid);
}

static void begin(void)
{
    shortage = shared_memory(sizeof *shortage);
    struct service service = a_service();
    service.config.respawn_budget = DTM_OFF;
    start(&service);
}

/* Questions, all at once, to somebody who may die of them. */
static void ask_the_dying(const char *address, const char *line, int many)
{
    int fds[64];
    char answer[512];
    for (int i = 0; i < many; i++) {
        fds[i] = dial_address(address);
        send(fds[i], line, strlen(line), MSG_NOSIGNAL);
    }
    for (int i = 0; i < many; i++) {
        recv(fds[i], answer, sizeof answer, 0);
        close(fds[i]);
    }
}

/* By the library (abort) or by the service under test, which does not look at what
 * calloc() returns. */
static bool died_of_it(const struct kid *kid)
{
    return kid->status == SIGABRT || kid->status == SIGSEGV ||
           kid->status == (SIGABRT | 0x80) || kid->status == (SIGSEGV | 0x80);
}

/* A worker without memory is a dead worker, wherever it happens: it is replaced, the
 * others serve, and its clients are told by the kernel. */
static void worker_without_memory(void)
{
    char address[32];
    int deaths = 0;
    begin();
    snprintf(address, sizeof address, "127.0.0.1:%d", shared->port[0]);
    for (int after = 0; after < 20; after++) {
        struct kid *kid = nth_open((uint32_t)after % 3);
        int own = dial_worker(kid);
        run_out(kid->pid, after);
        ask_the_dying(address, "who\n", 60);
        int failed = GET(shortage->failed);
        if (!failed)
            kill(kid->pid, SIGKILL);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK(failed == 0 || died_of_it(kid));
        deaths += failed != 0;
        run_out(0, 0);
        CHECK(!hear(own));
        hang_up(own);
        WAIT(count_open(1) == 3);
        CHECK(serves());
    }
    CHECK(deaths > 3);
    finish();
}

static void controller_without_memory(void)
{
    char address[160];
    int deaths = 0;
    begin();
    snprintf(address, sizeof address, "unix:%s", control_path());
    for (int after = 0; after < 20; after++) {
        struct kid *boss = controller();
        run_out(boss->pid, after);
        ask_the_dying(address, "reopen\n", 1);
        CHECK(serves());
        int failed = GET(shortage->failed);
        if (!failed)
            kill(boss->pid, SIGKILL);
        WAIT(has(boss, DTM_EVENT_EXIT));
        CHECK(failed == 0 || died_of_it(boss));
        deaths += failed != 0;
        run_out(0, 0);
        WAIT(controller());
        CHECK_EQ(command("pid"), controller()->pid);
    }
    CHECK(deaths > 1);
    CHECK_EQ(count_open(1), 3);
    finish();
}

/* The master itself goes on with what it has set aside: whoever dies is replaced, reloads
 * are done, and as nothing of the reserve is lost, for as long as it takes. */
static void master_without_memory(void)
{
    for (int after = 0; after < 12; after += 3) {
        begin();
        struct kid *boss = controller();
        run_out(shared->host, after);
        for (uint32_t i = 0; i < 30; i++) {
            struct kid *kid = nth_open(i % 3);
            kill(kid->pid, SIGKILL);
            WAIT(has(kid, DTM_EVENT_EXIT));
            WAIT(count_open(1 + i / 10) == 3);
            CHECK(serves());
            if (i % 10 == 9)
                CHECK_EQ(command("reload"), 0);
        }
        kill(boss->pid, SIGKILL);
        WAIT(has(boss, DTM_EVENT_EXIT));
        WAIT(controller() && controller() != boss);
        CHECK(GET(shortage->failed) > 500);
        run_out(0, 0);
        CHECK_EQ(command("reload"), 0);
        finish();
    }
}

static const struct test tests[] = {
    {"a worker without memory", worker_without_memory},
    {"a controller without memory", controller_without_memory},
    {"a master without memory", master_without_memory},
};
TEST_MAIN(tests)

#endif
