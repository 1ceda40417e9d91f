// A C++ service: exceptions that stay inside work as ever; one that leaves a
// callback ends its process with SIGABRT, and only that one.
// flow: M12, M14
#include "peer.h"

#include <cstring>
#include <stdexcept>

static int32_t request(dtm_t *, dtm_client_t *, const char *line, char *reply, size_t size)
{
    if (!strcmp(line, "throw"))
        throw std::runtime_error("out of a callback");
    if (!strcmp(line, "throw and catch")) {
        try {
            throw std::runtime_error("inside");
        } catch (const std::exception &error) {
            strncpy(reply, error.what(), size - 1);
            return DTM_READ;
        }
    }
    return NOT_MINE;
}

static void thrown()
{
    struct service service = a_service();
    service.request = request;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    CHECK(!strcmp(ask(fd, "throw and catch"), "inside"));
    say(fd, "throw");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(kid->status & 0x7f, SIGABRT);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static const struct test tests[] = {
    {"an exception that leaves a callback", thrown},
};
TEST_MAIN(tests)
