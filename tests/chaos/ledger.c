#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ledger *ledger;

static dtm_client_open_cb base_open;
static dtm_client_close_cb base_close;
static uint32_t own; /* this worker's number */

static uint32_t number_of(dtm_t *rt)
{
    dtm_self_t self;
    if (own == 0) {
        CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
        own = (uint32_t)(GET(ledger->base) + self.spawn);
        CHECK(own < SPAWNS);
    }
    return own;
}

static int32_t on_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    char peer[64];
    uint32_t number = number_of(rt);
    dtm_client_peer(client, peer, sizeof peer);
    const char *port = strrchr(peer, ':');
    if (port)
        SET(ledger->owner[atoi(port + 1) % PORTS], now_ms() << 16 | number);
    ADD(ledger->spawn[number].accepted, 1);
    return base_open(rt, client, user_data);
}

static void on_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    base_close(rt, client, reason, user_data);
    ADD(ledger->spawn[number_of(rt)].closed, 1);
}

/* "q N": N, who answers, its generation, and whether it is the last answer here. */
static int32_t on_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                          size_t size)
{
    unsigned id;
    dtm_self_t self;
    (void)client;
    if (sscanf(line, "q %u", &id) != 1)
        return NOT_MINE;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    bool last = dtm_draining(rt) == 1;
    snprintf(reply, size, "%u %u %u %d", id, number_of(rt), self.generation, last);
    SET(ledger->spawn[number_of(rt)].answered, 1);
    return last ? DTM_DONE : DTM_READ;
}

void keep_ledger(struct service *service)
{
    base_open = service->callbacks.client_open;
    base_close = service->callbacks.client_close;
    service->callbacks.client_open = on_open;
    service->callbacks.client_close = on_close;
    service->request = on_request;
}
