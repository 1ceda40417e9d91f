/*
 * echo_main.h - what the echo services and http.c have in common: options, listeners, the
 * operators' protocol of operator.h, dtm_run(). Each brings only its clients.
 */
#ifndef ECHO_MAIN_H
#define ECHO_MAIN_H

#include "daemon.h"
#include "operator.h"

static void echo_fail(const char *name, dtm_t *rt, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", name, what, dtm_last_error());
    dtm_free(rt);
    exit(1);
}

/* "A,B": every address gets its own listener. */
static void echo_listen(const char *name, dtm_t *rt, const char *addresses,
                        const struct daemon *daemon)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[128];
    int32_t index;

    while (*addresses) {
        size_t len = strcspn(addresses, ",");

        snprintf(address, sizeof address, "%.*s", (int)len, addresses);
        listen.address = address;
        index = dtm_listen(rt, &listen);
        if (daemon_failed(daemon, index))
            echo_fail(name, rt, "--listen");
        if (index >= 0)
            printf("%s: listening on %s, port %d\n", name, address,
                   (int)dtm_listen_port(rt, (uint32_t)index));
        addresses += len + (addresses[len] == ',');
    }
}

/* Nothing else is needed for it: `redis-cli -s /path status` */
static int32_t console_listen(dtm_t *rt, const char *address)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;

    listen.address = address;
    return dtm_listen_control(rt, &listen);
}

/* Behind the line that says what the service does. */
static const char echo_help[] =
    "  --listen ADDR[,ADDR...]  127.0.0.1:7000, [::1]:7000, *:7000, unix:/path (127.0.0.1:7000)\n"
    "  --workers N              number of workers (one per CPU)\n"
    "  --console ADDR           libdtm's own console, for redis-cli: unix:/path or 127.0.0.1:7001\n"
    "  --control PATH           instead: Unix socket for the protocol of operator.h\n" DAEMON_HELP
    "Signals: TERM stop gracefully, INT stop at once, HUP reload.\n";

/* `config` is what the service has decided for itself. */
static int service_main(const char *name, const char *what, dtm_config_t config,
                        dtm_callbacks_t *callbacks, int argc, char **argv)
{
    char help[4096];
    dtm_result_t result;
    dtm_t *rt = NULL;
    struct daemon daemon = {NULL, 0, 0};
    const char *addresses = "127.0.0.1:7000", *control = NULL, *console = NULL;
    const struct option options[] = {
        {"--listen", &addresses, NULL, NULL}, {"--workers", NULL, &config.workers, NULL},
        {"--console", &console, NULL, NULL},  {"--control", &control, NULL, NULL},
        DAEMON_OPTIONS(daemon, config),       {NULL, NULL, NULL, NULL},
    };

    config.name = name;
    config.flags = DTM_F_IGNORE_SIGPIPE; /* libuv and libevent write without MSG_NOSIGNAL */
    snprintf(help, sizeof help, "%s\n%s", what, echo_help);
    options_parse(argc, argv, options, help);
    if (!console)
        operator_callbacks(callbacks, NULL);

    if (daemon_new(&daemon, &config, callbacks, NULL, &rt) != DTM_OK)
        echo_fail(name, rt, "configuration");
    echo_listen(name, rt, addresses, &daemon);
    if (control && daemon_failed(&daemon, operator_listen(rt, control)))
        echo_fail(name, rt, "--control");
    if (console && console_listen(rt, console) < 0)
        echo_fail(name, rt, "--console");
    fflush(stdout);

    if (daemon_run(&daemon, name, rt, &result) != DTM_OK)
        echo_fail(name, rt, "run");
    printf("%s: ended; %llu forks, %llu deaths, %llu reloads\n", name,
           (unsigned long long)result.forks, (unsigned long long)result.deaths,
           (unsigned long long)result.reloads);
    dtm_free(rt);
    return 0;
}

static inline int echo_main(const char *name, dtm_callbacks_t *callbacks, int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;

    return service_main(name, "Sends every byte back.", config, callbacks, argc, argv);
}

#endif
