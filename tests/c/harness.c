#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASE_SECONDS = 180, PATIENCE_MS = 30000, CHILDREN = 256 };
/* A sleep of 1 ms that takes so long: the machine stood still, and nobody had that time. */
enum { STANDSTILL_MS = 1000 };

void (*on_failure)(void);

/* The case process; and whether some other process of the case has failed. */
static pid_t case_pid;
static volatile int *case_failed;
static char scratch_path[64];

/* Children of the case process that have ended. */
static struct {
    pid_t pid;
    int status;
} dead[CHILDREN];
static size_t dead_count;

uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void observe(uint32_t ms)
{
    for (uint64_t end = now_ms() + ms; now_ms() < end;)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void *shared_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

void fail_at(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *case_failed = 1;
    if (getpid() == case_pid && on_failure)
        on_failure();
    /* Last, where whoever sees only the end of a log finds it. */
    fprintf(stderr, "# %s:%d: %s (process %d)\n", file, line, text, (int)getpid());
    fflush(NULL);
    _exit(1);
}

/* The case process is the subreaper: orphans of a killed master end up here. */
static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        dead[dead_count % CHILDREN].pid = pid;
        dead[dead_count++ % CHILDREN].status = status;
    }
}

bool ended(pid_t pid, int *ret_status)
{
    reap();
    for (size_t i = 0; i < CHILDREN; i++) {
        if (dead[i].pid == pid) {
            if (ret_status)
                *ret_status = dead[i].status;
            return true;
        }
    }
    return false;
}

void forget_death(pid_t pid)
{
    for (size_t i = 0; i < CHILDREN; i++)
        if (dead[i].pid == pid)
            dead[i].pid = 0;
}

void wait_more(uint64_t *deadline, const char *file, int line, const char *condition)
{
    if (getpid() == case_pid)
        reap();
    if (*deadline == 0)
        *deadline = now_ms() + PATIENCE_MS;
    if (now_ms() > *deadline)
        fail_at(file, line, "waited in vain for: %s", condition);
    if (*case_failed)
        fail_at(file, line, "another process failed while we waited for: %s", condition);
    uint64_t begun = now_ms();
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    uint64_t slept = now_ms() - begun;
    if (slept > STANDSTILL_MS)
        *deadline += slept;
}

static const char *scratch_of(pid_t pid)
{
    snprintf(scratch_path, sizeof scratch_path, "/tmp/dtm-test-%d", (int)pid);
    return scratch_path;
}

static void wipe(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}

const char *scratch(void)
{
    if (!scratch_path[0]) {
        /* What is there is a dead process's that had our number. */
        wipe(scratch_of(case_pid));
        CHECK(mkdir(scratch_of(case_pid), 0700) == 0);
        CHECK(chmod(scratch_path, 0777) == 0); /* for services that change their user */
    }
    return scratch_path;
}

struct stat_line {
    char state;
    int parent, group, session;
    unsigned long long start;
};

static bool read_stat(pid_t pid, struct stat_line *ret)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC); /* also where there is no memory */
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *after = strrchr(text, ')'); /* a command name may hold anything */
    return after &&
           sscanf(after + 1,
                  " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d"
                  " %*d %llu",
                  &ret->state, &ret->parent, &ret->group, &ret->session, &ret->start) == 5;
}

uint64_t identity_of(pid_t pid)
{
    struct stat_line line;
    bool lives = read_stat(pid, &line) && line.state != 'Z' && line.state != 'X';
    return lives ? (uint64_t)line.start << 32 | (uint32_t)pid : 0;
}

char state_of(pid_t pid)
{
    struct stat_line line;
    return read_stat(pid, &line) ? line.state : 0;
}

bool runs(pid_t pid)
{
    return identity_of(pid) != 0;
}

static size_t members(pid_t session, pid_t *ret_pids, size_t capacity)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        struct stat_line line;
        if (pid <= 0 || pid == session || !read_stat(pid, &line))
            continue;
        if (line.session != session)
            continue;
        if (count < capacity)
            ret_pids[count] = pid;
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

size_t survivors(pid_t *ret_pids, size_t capacity)
{
    reap();
    return members(case_pid, ret_pids, capacity);
}

void check_no_survivors(void)
{
    pid_t pids[8];
    struct stat_line line = {.state = '-'};
    size_t left = survivors(pids, 8);
#ifdef __SANITIZE_ADDRESS__
    /* Who is killed while it looks for leaks has a helper process, which dies with it, but a
     * moment later. */
    for (uint64_t deadline = now_ms() + PATIENCE_MS; left && now_ms() < deadline;) {
        observe(1);
        left = survivors(pids, 8);
    }
#endif
    if (left == 0)
        return;
    read_stat(pids[0], &line);
    fail_at(__FILE__, __LINE__, "%zu processes left over, one is %d, a child of %d in state %c",
            left, (int)pids[0], line.parent, line.state);
}

__attribute__((unused)) static size_t count_lines(pid_t pid, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    FILE *f = fopen(path, "re");
    size_t lines = 0;
    for (int c; f && (c = getc(f)) != EOF;)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

size_t count_maps(pid_t pid)
{
#ifdef __SANITIZE_ADDRESS__ /* keeps freed memory for a while, in ever new mappings */
    return 0 * (size_t)pid;
#else
    return count_lines(pid, "maps");
#endif
}

/* Call `each` with every open fd of the process but the one that reads them. */
static size_t walk_fds(pid_t pid, void (*each)(const char *target, void *data), void *data)
{
    char path[64], file[128], target[256];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        if (pid == getpid() && atoi(entry->d_name) == dirfd(dir))
            continue;
        snprintf(file, sizeof file, "%s/%.32s", path, entry->d_name);
        ssize_t n = readlink(file, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = 0;
        count++;
        if (each)
            each(target, data);
    }
    if (dir)
        closedir(dir);
    return count;
}

size_t count_fds(pid_t pid)
{
    return walk_fds(pid, NULL, NULL);
}

struct inodes {
    uint64_t *list;
    size_t count, capacity;
};

static void take_socket(const char *target, void *data)
{
    struct inodes *inodes = data;
    unsigned long long inode;
    if (sscanf(target, "socket:[%llu]", &inode) != 1)
        return;
    CHECK(inodes->count < inodes->capacity);
    inodes->list[inodes->count++] = inode;
}

size_t sockets_of(pid_t pid, uint64_t *ret_inodes, size_t capacity)
{
    struct inodes inodes = {ret_inodes, 0, capacity};
    walk_fds(pid, take_socket, &inodes);
    return inodes.count;
}

uint64_t switches_of(pid_t pid)
{
    char path[64], line[256];
    unsigned long long count = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1)
            break;
    if (f)
        fclose(f);
    return count;
}

static void in_case(const struct test *test)
{
    case_pid = getpid();
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CASE_SECONDS);
    test->run();
    check_no_survivors();
    if (scratch_path[0] && rmdir(scratch_path) != 0)
        fail_at(__FILE__, __LINE__, "%s: %s: files left over", scratch_path, strerror(errno));
    fflush(NULL);
    _exit(*case_failed);
}

/* Whatever a failed case left: its session's processes, now our children. */
static void clear(pid_t session)
{
    pid_t pids[64];
    for (size_t n; (n = members(session, pids, 64)) != 0;) {
        for (size_t i = 0; i < n && i < 64; i++)
            kill(pids[i], SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    wipe(scratch_of(session));
    scratch_path[0] = 0;
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int harness_main(int argc, char **argv, const struct test *tests, size_t count)
{
    int failed = 0;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    case_failed = shared_memory(sizeof *case_failed);
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        if (!chosen(tests[i].name, argc, argv))
            continue;
        fflush(NULL);
        *case_failed = 0;
        uint64_t begun = now_ms();
        pid_t pid = fork();
        if (pid == 0)
            in_case(&tests[i]);
        int status = -1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        clear(pid);
        if (WIFSIGNALED(status))
            printf("# ended by signal %d\n", WTERMSIG(status));
        failed += status != 0;
        printf("%s %zu - %s (%llu ms)\n", status == 0 ? "ok" : "not ok", i + 1, tests[i].name,
               (unsigned long long)(now_ms() - begun));
    }
    return failed != 0;
}
