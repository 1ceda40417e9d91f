#define _GNU_SOURCE
#include "space.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

bool own_space;

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        perror("# loopback");
        exit(1);
    }
    close(fd);
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* Numbers come again soon, where they are counted for this space alone (Linux 6.14). */
static void reuse_pids(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    uname(&name);
    sscanf(name.release, "%d.%d", &major, &minor);
    if (major > 6 || (major == 6 && minor >= 14))
        put("/proc/sys/kernel/pid_max", "400");
}

void enter_space(void)
{
    int status;
    if (unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS) != 0) {
        printf("# without a network and process numbers of its own: %s\n", strerror(errno));
        return;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid > 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, NULL) != 0) {
        perror("# /proc");
        exit(1);
    }
    raise_loopback();
    reuse_pids();
    own_space = true;
}

unsigned long long net_counter(const char *name)
{
    static char names[8192], values[8192];
    unsigned long long value = 0;
    FILE *f = fopen("/proc/net/netstat", "re");
    while (f && fgets(names, sizeof names, f) && fgets(values, sizeof values, f)) {
        char *rest[2], *key = strtok_r(names, " \n", &rest[0]),
                       *number = strtok_r(values, " \n", &rest[1]);
        for (; key && number;
             key = strtok_r(NULL, " \n", &rest[0]), number = strtok_r(NULL, " \n", &rest[1]))
            if (!strcmp(key, name))
                value = strtoull(number, NULL, 10);
    }
    if (f)
        fclose(f);
    return value;
}

/* --- Freezer: the old tree, or a group of the one new tree --- */

static char group[128];
static bool old_tree;

bool freezer_begin(void)
{
    old_tree = access("/sys/fs/cgroup/freezer", W_OK) == 0;
    snprintf(group, sizeof group, "/sys/fs/cgroup/%sdtm-chaos-%d", old_tree ? "freezer/" : "",
             (int)getpid());
    rmdir(group);
    if (mkdir(group, 0755) != 0)
        group[0] = 0;
    return group[0] != 0;
}

static bool put_in_group(const char *file, const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", group, file);
    return put(path, text);
}

void freezer_take(pid_t pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    if (group[0])
        CHECK(put_in_group("cgroup.procs", text));
}

void freeze(bool frozen)
{
    CHECK(old_tree ? put_in_group("freezer.state", frozen ? "FROZEN" : "THAWED")
                   : put_in_group("cgroup.freeze", frozen ? "1" : "0"));
}

void freezer_end(void)
{
    if (group[0])
        WAIT(rmdir(group) == 0);
}
