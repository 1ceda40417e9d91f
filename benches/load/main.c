/*
 * main.c - the load generator: reads commands, answers each with a JSON object in a line.
 *
 *   target PORT KIND        who is asked from now on, and what: http, who, echo
 *   open COUNT RATE         connections that stay, RATE a second (0: at once), one request each
 *   ask MS                  closed loop of requests on all of these
 *   shares                  how many of these each worker has (of kind "who")
 *   drop                    closes those of half of the workers
 *   close                   closes all
 *   connect PARALLEL MS     closed loop of connect, request, close
 *   pace RATE MS PATIENCE   new connections at a fixed rate, latencies from the intended time;
 *                           without an answer PATIENCE ms after the last one: stuck.
 *                           SIGUSR1: no more new ones
 */
#include "load.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static int carry_out(const char *command, const char *a, const char *b, const char *c)
{
    long x = strtol(a, NULL, 10), y = strtol(b, NULL, 10), z = strtol(c, NULL, 10);

    if (strcmp(command, "target") == 0)
        return wire_target(a, b);
    if (strcmp(command, "open") == 0)
        pool_open(x, y);
    else if (strcmp(command, "ask") == 0)
        pool_ask(x);
    else if (strcmp(command, "shares") == 0)
        pool_shares();
    else if (strcmp(command, "drop") == 0)
        pool_drop_half();
    else if (strcmp(command, "close") == 0)
        pool_close();
    else if (strcmp(command, "connect") == 0)
        closed_loop(x, y);
    else if (strcmp(command, "pace") == 0 && x > 0)
        open_loop(x, y, z);
    else
        return -1;
    return 0;
}

int main(void)
{
    char line[128], command[16], a[16], b[16], c[16];

    signal(SIGUSR1, SIG_IGN); /* there is nothing to stop yet */
    prctl(PR_SET_TIMERSLACK, 1);
    wire_init();
    while (fgets(line, sizeof line, stdin)) {
        strcpy(a, "0");
        strcpy(b, "0");
        strcpy(c, "0");
        if (sscanf(line, "%15s %15s %15s %15s", command, a, b, c) < 1)
            continue;
        printf("{");
        if (carry_out(command, a, b, c) != 0)
            printf("\"error\":\"what is %s?\"", command);
        printf("}\n");
        fflush(stdout);
    }
    return 0;
}
