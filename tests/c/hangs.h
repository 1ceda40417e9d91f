/* A service in which a hang is found soon. */
#ifndef HANGS_H
#define HANGS_H

#include "peer.h"

static inline struct service hanging(void)
{
    struct service service = a_service();
    service.config.hang_timeout_ms = 300;
    service.config.kill_grace_ms = 10000;
    return service;
}

#endif
