#include "upgrade.h"

#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char directory[100], program[128], port[16];
pid_t first;

const char *at(const char *name)
{
    static char path[4][160];
    static int next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", directory, name);
    return to;
}

static void copy(const char *from, const char *to)
{
    char text[65536], temporary[200];
    snprintf(temporary, sizeof temporary, "%s.new", to);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, text, sizeof text)) > 0;)
        CHECK_EQ(write(out, text, (size_t)n), n);
    close(in), close(out);
    /* As a package manager does it: the one that runs keeps its file. */
    CHECK_EQ(rename(temporary, to), 0);
}

/* Put a version, or a script, at the path of the program. */
void install(int version)
{
    char self[300], *slash;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 20);
    CHECK(n > 0);
    self[n] = 0;
    slash = strrchr(self, '/');
    snprintf(slash + 1, 20, "upgrade_v%d", version);
    copy(self, program);
}

void install_script(const char *text)
{
    char temporary[200];
    snprintf(temporary, sizeof temporary, "%s.new", program);
    FILE *file = fopen(temporary, "we");
    CHECK(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    CHECK_EQ(chmod(temporary, 0755), 0);
    CHECK_EQ(rename(temporary, program), 0);
}

void write_file(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "we");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

int pid_in_file(void)
{
    int pid = 0;
    FILE *file = fopen(at("pid"), "re");
    if (file) {
        if (fscanf(file, "%d", &pid) != 1)
            pid = 0;
        fclose(file);
    }
    return pid;
}

/* How often the log has it. */
int in_log(const char *text)
{
    char line[2048];
    int count = 0;
    FILE *file = fopen(at("log"), "re");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

void tell_log(void)
{
    char line[1024];
    FILE *file = fopen(at("log"), "re");
    while (file && fgets(line, sizeof line, file))
        fprintf(stderr, "# %s", line);
}

void prepare_with(int version)
{
    a_service();
    on_failure = tell_log;
    snprintf(directory, sizeof directory, "%s", scratch());
    CHECK_EQ(chmod(directory, 0700), 0); /* or the console refuses to listen there */
    snprintf(program, sizeof program, "%s/service", directory);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(listen(fd, 1), 0);
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    shared->port[0] = ntohs(((struct sockaddr_in *)&address)->sin_port);
    snprintf(port, sizeof port, "%d", shared->port[0]);
    close(fd);
    install(version);
}

void exec_service(const char *mode, const char *workers)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, directory, port, mode, workers, (char *)NULL);
    _exit(99);
}

/* How the first one is started, and what follows. */
static struct service beginning;

void inject_into_first(const int *calls)
{
    beginning = a_service();
    inject_into(&beginning, calls);
}

void start_with(int version, const char *mode, const char *workers)
{
    prepare_with(version);
    first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        if (beginning.before)
            beginning.before();
        exec_service(mode, workers);
    }
    SET(shared->host, first);
    if (beginning.launched)
        beginning.launched();
    WAIT(in_log("open for business") == atoi(workers));
    WAIT(in_log("has the control lock") == 1);
    CHECK_EQ(pid_in_file(), first);
}

struct who who_serves(void)
{
    int fd = dial(shared->port[0]);
    struct who answer = who(fd);
    hang_up(fd);
    return answer;
}

/* What the console says to one command. */
char answer[1024];

int operate(const char *line)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s", at("control"));
    int fd = dial_address(address);
    say(fd, line);
    const char *heard = hear(fd);
    snprintf(answer, sizeof answer, "%s", heard ? heard : "");
    hang_up(fd);
    return answer[0] == '+' ? 0 : -1;
}

/* What a scrape tells of one metric, with its labels; -1: nothing. */
double metric(const char *name)
{
    static char page[1 << 17];
    char address[160], line[100];
    size_t len = 0;
    snprintf(address, sizeof address, "unix:%s", at("metrics"));
    int fd = dial_address(address);
    const char *request = "GET /metrics HTTP/1.0\r\n\r\n";
    CHECK_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t n; (n = recv(fd, page + len, sizeof page - 1 - len, 0)) > 0;)
        len += (size_t)n;
    CHECK(len < sizeof page - 1);
    page[len] = 0;
    hang_up(fd);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *found = strstr(page, line);
    return found ? strtod(found + strlen(line), NULL) : -1;
}

void clean(void)
{
    static const char *const left[] = {"log",    "ends",   "service", "trouble", "standard",
                                       "extra",  "drain",  "store",   "db",      "db-wal",
                                       "db-shm", "walked", "orphan"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        unlink(at(left[i]));
}

/* SIGTERM to whoever is the master now, and to nobody else. */
void end(void)
{
    int pid = pid_in_file();
    CHECK(pid > 1);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(pid_in_file(), 0);
    CHECK(access(at("socket"), F_OK) != 0);
    CHECK(access(at("control"), F_OK) != 0);
    CHECK(access(at("metrics"), F_OK) != 0);
    clean();
}

struct life nth_end(int n)
{
    struct life life = {0};
    FILE *file = fopen(at("ends"), "re");
    for (int i = 0; file && i < n; i++)
        if (fscanf(file, "%d %d %u %llu %llu %llu", &life.version, &life.code, &life.reason,
                   &life.forks, &life.reloads, &life.deaths) != 6)
            life.version = 0;
    if (file)
        fclose(file);
    return life;
}

void check_load(const struct load *load)
{
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->reset, 0);
    CHECK_EQ(load->lost, 0);
    CHECK_EQ(load->wrong, 0);
}

/* The whole answer of the console to one command. */
const char *operated(const char *command)
{
    static char text[1 << 15];
    char address[160], line[100];
    size_t len = 0;
    snprintf(address, sizeof address, "unix:%s", at("control"));
    snprintf(line, sizeof line, "%s\nquit", command);
    int fd = dial_address(address);
    say(fd, line);
    for (ssize_t n; (n = read(fd, text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    hang_up(fd);
    return text;
}

/* A client that is in the middle of something. */
int busy_client(struct who *ret_worker)
{
    int fd = dial(shared->port[0]);
    *ret_worker = who(fd);
    ask(fd, "busy");
    return fd;
}

/* Two of them, with workers of their own. */
void two_clients(int fds[2], struct who workers[2])
{
    fds[0] = busy_client(&workers[0]);
    for (fds[1] = busy_client(&workers[1]); workers[1].pid == workers[0].pid;) {
        int another = busy_client(&workers[1]);
        hang_up(fds[1]);
        fds[1] = another;
    }
}

bool is_listed(int pid)
{
    char text[64];
    snprintf(text, sizeof text, ":binary=old,pid=%d,", pid);
    return strstr(operated("info worker"), text) != NULL;
}

void start_draining(const char *drain_ms, const char *workers)
{
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    write_file("drain", drain_ms);
    start_with(1, "1", workers);
}

/* It knows that it may outlive its master. Those without clients may be gone before. */
void wait_adopted(const struct who *worker)
{
    char text[100];
    snprintf(text, sizeof text, "[%d] worker %u gen %u debug: adopted by", worker->pid,
             worker->slot, worker->generation);
    WAIT(in_log(text) == 1);
}

/* The new master's pid. */
int upgrade_to(int version, const struct who *adopts)
{
    install(version);
    CHECK_EQ(operate("upgrade"), 0);
    wait_adopted(adopts);
    return pid_in_file();
}

void kill_master(int pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    WAIT(ended(pid, NULL));
}

/* The files that a killed service leaves. */
void clean_up_after(void)
{
    unlink(at("socket")), unlink(at("control")), unlink(at("metrics")), unlink(at("pid"));
    clean();
}

void still_served(int fd, const struct who *worker)
{
    struct who now = who(fd); /* not busy any more */
    CHECK_EQ(now.pid, worker->pid);
    CHECK_EQ(now.spawn, worker->spawn);
    CHECK(!hear(fd));
    hang_up(fd);
}
