/*
 * Who may do what: the faults H05 and H09 of the console, and where it may listen.
 */
#include "console.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, STRANGER = 12345 };

/* In the host: the console on a free port of 127.0.0.1, beside no Unix socket. */
static void on_tcp(dtm_t *rt)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[32];
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* the library does not tell this port */
    CHECK(bind(fd, (struct sockaddr *)&in, len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    close(fd);
    shared->custom[0] = ntohs(in.sin_port);
    snprintf(address, sizeof address, "127.0.0.1:%d", shared->custom[0]);
    listen.address = address;
    CHECK_EQ(dtm_listen_control(rt, &listen), 0);
}

/* In the host: everybody may connect. */
static void to_everybody(dtm_t *rt)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[160];
    snprintf(address, sizeof address, "unix:%s", control_path());
    listen.address = address;
    listen.mode = 0666;
    CHECK_EQ(dtm_listen_control(rt, &listen), 0);
}

static struct service at(void (*setup)(dtm_t *rt))
{
    struct service service = a_console();
    service.without_control = true;
    service.setup = setup;
    return service;
}

/* What another user's process finds: 0: everything was as `test` wants it. */
static int as_user(uid_t uid, void (*test)(void))
{
    int status = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (setgid(uid) != 0 || setuid(uid) != 0)
            _exit(77);
        test();
        _exit(0);
    }
    WAIT(ended(pid, &status));
    return status;
}

static void cannot_connect(void)
{
    CHECK(access(control_path(), W_OK) != 0 && errno == EACCES);
}

static const char *const operators[] = {
    "RELOAD",
    "LOADCONF",
    "STOP",
    "START",
    "SCALE 2",
    "SHUTDOWN",
    "SHUTDOWN NOW",
    "NOFORK ON",
    "NOFORK OFF",
    "REOPEN",
    "LOG LEVEL SET warn",
    "ACCEPT MODE SET hash",
    "RECYCLE SLOT 1",
    "CONFIG SET workers 9",
    "CLIENT KILL ID 1",
    "UPGRADE",
    "RESET SLOTS",
    "ACCEPT TOKENS SET 3",
    "ACTIONS START x",
    "ACTIONS PAUSE 1",
    "ACTIONS RESUME 1",
    "ACTIONS CANCEL 1",
    "ACTIONS GO 1",
    "FLEET START skip x",
    "FLEET CANCEL 1",
};

/* Is there one in the list for each that HELP marks? */
static void all_are_tried(int fd)
{
    static char help[1 << 16];
    snprintf(help, sizeof help, "%s", tell(fd, "HELP"));
    int marked = 0;
    for (char *line = strtok(help + 1, "\n"); line; line = strtok(NULL, "\n")) {
        if (line[0] != '*' || !strcmp(line, "* for operators"))
            continue;
        bool known = false;
        for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
            /* Its words in capitals are the command's name. */
            size_t len = 0;
            const char *o = operators[i];
            while (o[len] && (o[len] == ' ' || (o[len] >= 'A' && o[len] <= 'Z')))
                len++;
            while (len > 0 && o[len - 1] == ' ')
                len--;
            if (!o[len] || o[len] == ' ')
                known = known || !strncmp(line + 2, o, len);
        }
        if (!known)
            fail_at(__FILE__, __LINE__, "nobody tries '%s'", line);
        marked++;
    }
    CHECK(marked >= 20);
}

/* H09: an observer may look and nothing else, in whatever syntax he asks. */
static void only_look(int fd)
{
    char command[512], word[64];
    all_are_tried(fd);
    for (int resp = 2; resp <= 3; resp++) {
        snprintf(command, sizeof command, "HELLO %d", resp);
        CHECK(tell(fd, "%s", command));
        CHECK(strstr(tell(fd, "STATUS JSON"), "\"state\":\"serving\""));
        for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
            CHECK(begins(tell(fd, "%s", operators[i]), "-NOPERM "));
            CHECK(begins(tell(fd, "  \"%.*s\"%s", (int)strcspn(operators[i], " "), operators[i],
                              operators[i] + strcspn(operators[i], " ")),
                         "-NOPERM "));
            /* The same as an array, in small letters. */
            size_t len = 0;
            int words = 0;
            char body[400] = "";
            for (const char *at = operators[i]; *at; at += strspn(at, " ")) {
                size_t n = strcspn(at, " ");
                for (size_t c = 0; c < n; c++)
                    word[c] = (char)(at[c] >= 'A' && at[c] <= 'Z' ? at[c] + 32 : at[c]);
                len += (size_t)snprintf(body + len, sizeof body - len, "$%zu\r\n%.*s\r\n", n,
                                        (int)n, word);
                words++;
                at += n;
            }
            snprintf(command, sizeof command, "*%d\r\n%s", words, body);
            send_text(fd, command);
            CHECK(begins(reply(fd), "-NOPERM "));
        }
    }
}

static void looks_only(void)
{
    int fd = console();
    only_look(fd);
    hang_up(fd);
}

/* H05 */
static void another_user(void)
{
    if (geteuid() != 0)
        return; /* needs two users */
    struct service service = a_console();
    start(&service);
    struct stat st;
    CHECK(stat(control_path(), &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_EQ(as_user(NOBODY, cannot_connect), 0);
    finish();
}

static void another_user_let_in(void)
{
    if (geteuid() != 0)
        return;
    struct service service = at(to_everybody);
    start(&service);
    CHECK_EQ(as_user(NOBODY, looks_only), 0);
    CHECK_EQ(count_open(0), 3);
    CHECK(begins(console_says("SCALE 2"), "+2 workers")); /* root is an operator */
    finish();
    CHECK_EQ(shared->result.reloads, 0);
}

static void is_an_operator(void)
{
    CHECK(begins(console_says("SCALE 2"), "+2 workers"));
}

static void finds_no_room(void)
{
    int fd = console();
    CHECK(begins(reply(fd), "-ERR max number of clients reached"));
    CHECK(!reply(fd));
    hang_up(fd);
}

/* H06: the connection that is kept free is the owner's alone. */
static void no_room_for_others(void)
{
    if (geteuid() != 0)
        return;
    struct service service = at(to_everybody);
    service.config.control_clients = 1;
    start(&service);
    int fd = console();
    CHECK(begins(tell(fd, "PING"), "+PONG"));
    CHECK_EQ(as_user(NOBODY, finds_no_room), 0);
    CHECK(begins(console_says("PING"), "+PONG"));
    CHECK(begins(tell(fd, "PING"), "+PONG"));
    hang_up(fd);
    finish();
}

static void named_operators(void)
{
    if (geteuid() != 0)
        return;
    struct service service = at(to_everybody);
    service.config.control_operators = "12345,@65534";
    start(&service);
    CHECK_EQ(as_user(STRANGER, is_an_operator), 0);
    CHECK_EQ(as_user(NOBODY, is_an_operator), 0); /* by its group */
    CHECK_EQ(as_user(STRANGER + 1, looks_only), 0);
    CHECK(begins(console_says("SCALE 3"), "-NOPERM")); /* root is not named */
    finish();
}

/* Over TCP nobody says who it is. */
static void tcp_without_a_password(void)
{
    struct service service = at(on_tcp);
    start(&service);
    int fd = dial(shared->custom[0]);
    only_look(fd);
    CHECK(begins(tell(fd, "AUTH x"), "-ERR AUTH called without any password"));
    hang_up(fd);
    finish();
}

static void tcp_with_a_password(void)
{
    struct service service = at(on_tcp);
    service.config.control_password = "open sesame";
    start(&service);
    int fd = dial(shared->custom[0]);
    CHECK(begins(tell(fd, "PING"), "-NOAUTH"));
    CHECK(begins(tell(fd, "NOSUCH"), "-NOAUTH"));
    CHECK(begins(tell(fd, "HELLO 3"), "-NOAUTH"));
    CHECK(begins(tell(fd, "STOP"), "-NOAUTH"));
    CHECK(begins(tell(fd, "AUTH sesame"), "-WRONGPASS"));
    CHECK(begins(tell(fd, "AUTH alice \"open sesame\""), "-WRONGPASS"));
    CHECK(begins(tell(fd, "AUTH default \"open sesame\""), "+OK"));
    CHECK(begins(tell(fd, "SCALE 2"), "+2 workers"));
    CHECK(begins(tell(fd, "CONFIG GET control_password"), "[$control_password, $(set)]"));
    CHECK(begins(tell(fd, "RESET"), "+RESET"));
    CHECK(begins(tell(fd, "PING"), "-NOAUTH"));
    CHECK(begins(tell(fd, "HELLO 3 AUTH default \"open sesame\" SETNAME me"), "{$server"));
    CHECK(begins(tell(fd, "CLIENT GETNAME"), "$me"));
    hang_up(fd);

    fd = dial(shared->custom[0]); /* guessing costs a connection after three tries */
    CHECK(begins(tell(fd, "AUTH a"), "-WRONGPASS"));
    CHECK(begins(tell(fd, "AUTH b"), "-WRONGPASS"));
    CHECK(begins(tell(fd, "AUTH c"), "-WRONGPASS"));
    CHECK(!reply(fd));
    CHECK_EQ(logged("gave a wrong password"), 5);
    hang_up(fd);
    finish();
}

/* H05: where strangers get at it, it does not listen. */
static void where_it_may_listen(void)
{
    static const struct {
        uint32_t remote;
        const char *password, *address;
        int32_t code;
        const char *because;
    } places[] = {
        {0, NULL, "0.0.0.0:0", DTM_EINVAL, "control_remote"},
        {0, "x", "*:0", DTM_EINVAL, "control_remote"},
        {0, NULL, "[::]:0", DTM_EINVAL, "control_remote"},
        {1, "x", "0.0.0.0:0", DTM_OK, ""},
        {0, NULL, "127.0.0.1:0", DTM_OK, ""},
        {0, NULL, "unix:@dtm-console-test", DTM_OK, ""},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        dtm_config_t config = DTM_CONFIG_INIT;
        dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
        dtm_listen_t listen = DTM_LISTEN_INIT;
        dtm_t *rt = NULL;
        config.control_remote = places[i].remote;
        config.control_password = places[i].password;
        callbacks.client_step = a_service().callbacks.client_step;
        CHECK_EQ(dtm_new(&config, &callbacks, NULL, &rt), DTM_OK);
        listen.address = places[i].address;
        CHECK_EQ(dtm_listen_control(rt, &listen), places[i].code);
        CHECK(strstr(dtm_last_error(), places[i].because));
        dtm_free(rt);
    }
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_t *rt = NULL;
    callbacks.client_step = a_service().callbacks.client_step;
    config.control_remote = 1;
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, &rt), DTM_ECONFIG);
    CHECK(strstr(dtm_last_error(), "control_password"));
}

/* H05: whoever can write the folder could put a socket of his own there. */
static void a_folder_of_everybody(void)
{
    struct service service = a_console();
    CHECK(chmod(scratch(), 0777) == 0);
    launch(&service);
    refused_with("everybody may replace files");
    CHECK_EQ(shared->control_code, DTM_EINVAL);
}

static const struct test tests[] = {
    {"H05: another user", another_user},
    {"H09: another user who is let in", another_user_let_in},
    {"no room for others", no_room_for_others},
    {"named operators", named_operators},
    {"TCP without a password", tcp_without_a_password},
    {"TCP with a password", tcp_with_a_password},
    {"where it may listen", where_it_may_listen},
    {"a folder of everybody", a_folder_of_everybody},
};

TEST_MAIN(tests)
