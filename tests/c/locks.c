#include "locks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dtm_lock_t *lock, *other;

void register_locks(dtm_t *rt)
{
    CHECK_EQ(dtm_lock_register(rt, "table", &lock), DTM_OK);
    CHECK_EQ(dtm_lock_register(rt, "other", &other), DTM_OK);
}

int32_t lock_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                     size_t size)
{
    unsigned number;
    (void)rt, (void)client;
    if (sscanf(line, "take %u", &number) == 1) {
        ADD(shared->custom[ASKED], 1);
        snprintf(reply, size, "%d", dtm_lock_take(lock, number));
    } else if (!strcmp(line, "give")) {
        snprintf(reply, size, "%d", dtm_lock_give(lock));
    } else {
        return NOT_MINE;
    }
    return DTM_READ;
}

struct service with_locks(void)
{
    struct service service = a_service();
    service.setup = register_locks;
    service.request = lock_request;
    return service;
}

int code_of(const char *answer)
{
    CHECK(answer);
    return atoi(answer);
}

void let_wait(int fd, const struct kid *kid)
{
    char line[32];
    int asked = GET(shared->custom[ASKED]);
    snprintf(line, sizeof line, "take %u", (unsigned)DTM_OFF);
    say(fd, line);
    WAIT(GET(shared->custom[ASKED]) > asked && state_of(kid->pid) == 'S');
}

struct pair with_owner(void)
{
    struct pair pair = {.owner = nth_open(0), .next = nth_open(1)};
    pair.owner_fd = dial_worker(pair.owner);
    pair.next_fd = dial_worker(pair.next);
    CHECK_EQ(code_of(ask(pair.owner_fd, "take 0")), DTM_OK);
    return pair;
}

void hang_up_both(const struct pair *pair)
{
    hang_up(pair->owner_fd);
    hang_up(pair->next_fd);
}
