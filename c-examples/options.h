/*
 * options.h - "--name VALUE", "--name=VALUE" and "--flag", as the examples take them.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the three says where the value goes. */
struct option {
    const char *name;
    const char **text;
    uint32_t *number;
    int *flag;
};

static void options_fail(const char *option, const char *what, const char *help)
{
    fprintf(stderr, "%s: %s\n\n%s", option, what, help);
    exit(2);
}

/* Ends the program after --help, and when anything is wrong. */
static void options_parse(int argc, char **argv, const struct option *options, const char *help)
{
    int i;

    for (i = 1; i < argc; i++) {
        const struct option *o = options;
        size_t len = strcspn(argv[i], "=");
        const char *value = argv[i][len] ? argv[i] + len + 1 : NULL;
        char *end;

        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        }
        while (o->name && (strlen(o->name) != len || strncmp(o->name, argv[i], len) != 0))
            o++;
        if (!o->name || (o->flag && value))
            options_fail(argv[i], "unknown option", help);
        if (o->flag) {
            *o->flag = 1;
            continue;
        }
        if (!value && !(value = argv[++i]))
            options_fail(o->name, "needs a value", help);
        if (o->text) {
            *o->text = value;
            continue;
        }
        *o->number = (uint32_t)strtoul(value, &end, 10);
        if (end == value || *end || strlen(value) > 9)
            options_fail(o->name, "needs a number", help);
    }
}

#endif
