/* What is done to the service, and what must hold all the same. */
#ifndef EVENTS_H
#define EVENTS_H

#include <stddef.h>
#include <stdint.h>

struct event {
    const char *name;
    unsigned weight;
    void (*happens)(void);
    unsigned done;
};

extern struct event events[];
extern const size_t event_count;

/* How it stands. */
extern struct chaos {
    unsigned events, rests, worst_orphan_ms;
    uint32_t workers; /* as many should be open */
} chaos;

void chaos_begin(uint32_t seed);
void chaos_event(void);
void chaos_rest(void);
void chaos_end(void);

/* For events.c and rest.c */
uint32_t draw(uint32_t below);
void begin_master(void); /* start the service, or start it again */
void calm(void);         /* until it is as it should be when nobody disturbs it */
void note_master(void);  /* a new one: nothing to compare with */

#endif
