/*
 * Another binary takes over from the one that runs.
 * flow: L2, L10
 * faults: U1, U2
 */
#include "peer.h"

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

static char directory[100], program[128], port[16];
static pid_t first;

static const char *at(const char *name)
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
static void install(int version)
{
    char self[300], *slash;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 20);
    CHECK(n > 0);
    self[n] = 0;
    slash = strrchr(self, '/');
    snprintf(slash + 1, 20, "upgrade_v%d", version);
    copy(self, program);
}

static void install_script(const char *text)
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

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "we");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

static int pid_in_file(void)
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
static int in_log(const char *text)
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

static void tell_log(void)
{
    char line[1024];
    FILE *file = fopen(at("log"), "re");
    while (file && fgets(line, sizeof line, file))
        fprintf(stderr, "# %s", line);
}

static void start_with(int version, const char *mode, const char *workers)
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
    first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, directory, port, mode, workers, (char *)NULL);
        _exit(99);
    }
    WAIT(in_log("open for business") == atoi(workers));
    WAIT(in_log("has the control lock") == 1);
    CHECK_EQ(pid_in_file(), first);
}

static struct who who_serves(void)
{
    int fd = dial(shared->port[0]);
    struct who answer = who(fd);
    hang_up(fd);
    return answer;
}

/* What the console says to one command. */
static char answer[1024];

static int tell(const char *line)
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
static double metric(const char *name)
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

/* SIGTERM to whoever is the master now, and to nobody else. */
static void end(void)
{
    int pid = pid_in_file();
    CHECK(pid > 1);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(pid_in_file(), 0);
    CHECK(access(at("socket"), F_OK) != 0);
    CHECK(access(at("control"), F_OK) != 0);
    CHECK(access(at("metrics"), F_OK) != 0);
    static const char *const left[] = {"log", "ends", "service", "trouble", "standard"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        unlink(at(left[i]));
}

/* The n-th life that ended: version, code, reason, forks, reloads. */
struct life {
    int version, code;
    unsigned reason;
    unsigned long long forks, reloads, deaths;
};

static struct life nth_end(int n)
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

static void check_load(const struct load *load)
{
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->reset, 0);
    CHECK_EQ(load->lost, 0);
    CHECK_EQ(load->wrong, 0);
}

/* L2, U2: the files survive the old one and go with the last. */
static void one_after_the_other(void)
{
    start_with(1, "0", "3");
    CHECK_EQ(who_serves().version, 1);
    int old = dial(shared->port[0]);
    ask(old, "busy");
    install(2);
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(pid_in_file() != first && pid_in_file() > 0);
    WAIT(who_serves().version == 2);
    CHECK(who_serves().generation > 1); /* it counts on */
    /* The old one has a client still; the socket files are the new one's. */
    CHECK_EQ(who(old).version, 1);
    CHECK(!hear(old));
    hang_up(old);
    WAIT(ended(first, NULL));
    CHECK_EQ(access(at("socket"), F_OK), 0);
    char path[180];
    snprintf(path, sizeof path, "unix:%s", at("socket"));
    int fd = dial_address(path);
    CHECK_EQ(who(fd).version, 2);
    hang_up(fd);
    CHECK_EQ(tell("ping"), 0);
    CHECK_EQ(nth_end(1).reason, DTM_END_UPGRADED);
    CHECK_EQ(nth_end(1).code, DTM_OK);
    CHECK_EQ(in_log("control lock granted, epoch 1"), 1);
    CHECK_EQ(in_log("control lock granted, epoch 2"), 1);
    end();
}

/* 10 upgrades between two binaries under load. */
static void ten_under_load(const char *mode, const char *workers)
{
    start_with(1, mode, workers);
    struct load *load = load_start(4);
    for (int i = 1; i <= 10; i++) {
        int before = pid_in_file(), answered = GET(load->answered);
        install(1 + i % 2);
        CHECK_EQ(tell("upgrade"), 0);
        CHECK(strstr(answer, "this one drains"));
        CHECK(pid_in_file() != before);
        WAIT(who_serves().version == 1 + i % 2);
        WAIT(GET(load->answered) > answered + 50);
        WAIT(nth_end(i).version == 1 + (i + 1) % 2);
        CHECK_EQ(nth_end(i).reason, DTM_END_UPGRADED);
    }
    load_stop(load);
    check_load(load);
    end();
}

static void ten_steered(void)
{
    ten_under_load("0", "3");
}

static void ten_by_token(void)
{
    ten_under_load("1", "3");
}

static void ten_by_hash(void)
{
    ten_under_load("3", "3");
}

static void ten_passed(void)
{
    ten_under_load("5", "3");
}

/* More workers than wait at one socket. */
static void ten_in_groups(void)
{
    ten_under_load("1", "20");
}

/* What operators draw goes on from where it was. */
static void numbers_go_on(void)
{
    start_with(1, "1", "2");
    CHECK_EQ(tell("reload"), 0);
    for (int i = 0; i < 10; i++)
        who_serves();
    int late = dial(shared->port[0]);
    ask(late, "busy");
    install(2);
    CHECK_EQ(tell("upgrade"), 0);
    who(late); /* the old one counts this one, and the new one hears of it */
    hang_up(late);
    WAIT(ended(first, NULL));
    int fd = dial(shared->port[0]);
    WAIT(atoi(ask(fd, "hits")) == 11);
    CHECK_EQ(who(fd).version, 2);
    hang_up(fd);
    CHECK_EQ(kill(pid_in_file(), SIGTERM), 0);
    WAIT(nth_end(2).version == 2);
    /* controller, 2, 2 by the reload; controller, 2 of the new one */
    CHECK_EQ(nth_end(2).forks, 8);
    CHECK_EQ(nth_end(2).reloads, 1);
    WAIT(survivors(NULL, 0) == 0);
    static const char *const left[] = {"log", "ends", "service"};
    for (size_t i = 0; i < 3; i++)
        unlink(at(left[i]));
}

/* The listener for scrapers is handed over, too, and nothing that it tells falls. */
static void metrics_go_on(void)
{
    static const char *const totals[] = {
        "dtm_accepted_total",
        "dtm_forks_total",
        "dtm_reloads_total{result=\"ok\"}",
        "dtm_reloads_total{result=\"failed\"}",
        "dtm_process_ends_total{reason=\"told\"}",
        "dtm_drains_total{reason=\"reload\"}",
        "dtm_console_connections_total",
        "dtm_console_commands_total",
        "dtm_service_hits_total",
    };
    enum { TOTALS = sizeof totals / sizeof totals[0] };
    double before[TOTALS];
    start_with(1, "1", "2");
    CHECK_EQ(tell("reload"), 0);
    write_file("trouble", "init");
    CHECK_EQ(tell("reload"), -1);
    unlink(at("trouble"));
    for (int i = 0; i < 10; i++)
        who_serves();
    WAIT(metric("dtm_process_ends_total{reason=\"told\"}") >= 2);
    for (int i = 0; i < TOTALS; i++) {
        before[i] = metric(totals[i]);
        if (before[i] < 1)
            fail_at(__FILE__, __LINE__, "%s is %g", totals[i], before[i]);
    }
    install(2);
    CHECK_EQ(tell("upgrade"), 0);
    WAIT(ended(first, NULL));
    CHECK_EQ(access(at("metrics"), F_OK), 0);
    for (int i = 0; i < TOTALS; i++) {
        double after = 0;
        WAIT((after = metric(totals[i])) >= before[i]);
    }
    WAIT(metric("dtm_upgrades_total{result=\"ok\"}") == 1);
    end();
}

/* Everything is as it was: same processes, same files. */
static void nothing_happened(struct load *load, uint64_t spawn)
{
    int answered = GET(load->answered);
    WAIT(GET(load->answered) > answered + 50);
    CHECK_EQ(pid_in_file(), first);
    CHECK(runs(first));
    CHECK_EQ(who_serves().version, 1);
    CHECK(who_serves().spawn <= spawn);
    CHECK_EQ(tell("ping"), 0);
    char path[180];
    snprintf(path, sizeof path, "unix:%s", at("socket"));
    int fd = dial_address(path);
    CHECK_EQ(who(fd).version, 1);
    hang_up(fd);
}

/* U1: whatever the new binary does instead of serving, the old one says so and serves on. */
static void failures(void)
{
    static const struct {
        const char *script, *trouble, *why;
    } cases[] = {
        {"exit 3", NULL, "exited with status 3"},
        {"exit 0", NULL, "exited with status 0"},
        {"kill -SEGV $$", NULL, "was killed by SIGSEGV"},
        {"exec sleep 60", "late", "not ready in time"},
        {NULL, "init", "there is no database"},
        {NULL, "hang", "not ready in time"},
        {NULL, "update", "did not take over in time"},
    };
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    write_file("trouble", "late"); /* a short timeout */
    start_with(1, "0", "3");
    struct load *load = load_start(3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].script)
            install_script(cases[i].script);
        else
            install(2);
        if (cases[i].trouble)
            write_file("trouble", cases[i].trouble);
        /* Until the last one is gone, no other one begins. */
        do
            CHECK_EQ(tell("upgrade"), -1);
        while (strstr(answer, "in progress"));
        if (!strstr(answer, cases[i].why) || !strstr(answer, "the old binary serves on"))
            fail_at(__FILE__, __LINE__, "case %zu: '%s' is not in: %s", i, cases[i].why,
                    answer);
        unlink(at("trouble"));
        nothing_happened(load, 4);
        CHECK(metric("dtm_upgrades_total{result=\"failed\"}") >= (double)i + 1);
    }
    /* And the next one succeeds. */
    install(2);
    WAIT(tell("upgrade") == 0);
    WAIT(who_serves().version == 2);
    load_stop(load);
    check_load(load);
    WAIT(ended(first, NULL));
    end();
}

/* What may not be, and what ends one. */
static void meanwhile(void)
{
    start_with(1, "0", "2");
    install(2);
    write_file("trouble", "hang");
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(in_log("starts as pid") == 1);
    CHECK_EQ(tell("upgrade"), -1);
    CHECK(strstr(answer, "an upgrade is in progress"));
    CHECK_EQ(tell("reload"), -1);
    CHECK(strstr(answer, "an upgrade is in progress"));
    CHECK_EQ(kill(first, SIGTERM), 0);
    int status = -1;
    WAIT(ended(first, &status));
    CHECK_EQ(status, 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(in_log("the service was told to end; the old binary serves on"), 2);
    static const char *const left[] = {"log", "ends", "service", "trouble"};
    for (size_t i = 0; i < 4; i++)
        unlink(at(left[i]));
}

/* The old master dies in the middle of it: the new one takes over, nobody else would. */
static void the_old_one_dies(void)
{
    start_with(1, "0", "2");
    install(2);
    write_file("trouble", "hang");
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(in_log("worker slot 1 gen 2") >= 1);
    CHECK_EQ(kill(first, SIGKILL), 0);
    WAIT(ended(first, NULL));
    int early = dial(shared->port[0]); /* the listener is open all the time */
    say(early, "who");
    CHECK_EQ(unlink(at("trouble")), 0);
    CHECK(hear(early));
    hang_up(early);
    WAIT(who_serves().version == 2);
    WAIT(pid_in_file() > 0 && pid_in_file() != first);
    end();
}

static const struct test tests[] = {
    {"one after the other", one_after_the_other},
    {"10 upgrades under load, steer", ten_steered},
    {"10 upgrades under load, token", ten_by_token},
    {"10 upgrades under load, hash", ten_by_hash},
    {"10 upgrades under load, pass", ten_passed},
    {"10 upgrades under load, 20 workers", ten_in_groups},
    {"numbers go on", numbers_go_on},
    {"metrics go on", metrics_go_on},
    {"failures at each step", failures},
    {"refused and ended", meanwhile},
    {"the old one dies", the_old_one_dies},
};
TEST_MAIN(tests)
