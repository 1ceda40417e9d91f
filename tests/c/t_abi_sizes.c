/*
 * A program and a library of different versions: the program's structs are
 * shorter (it is older) or longer (it is newer) than the library's. Every struct
 * handed in ends where a page without access begins, so reading too far is fatal.
 *
 * valgrind: yes
 */
#define _DEFAULT_SOURCE
#include <dtm.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            printf("line %d: %s; last error: %s\n", __LINE__, #condition, dtm_last_error());   \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static const size_t NEWER = 16;

/* The first `size` bytes of a struct, then zeros up to `total`, then the page's end. */
static void *at_page_end(const void *from, size_t size, size_t total)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED && mprotect(map + page, page, PROT_NONE) == 0);
    char *copy = map + page - total;
    memcpy(copy, from, size < total ? size : total);
    *(size_t *)(void *)copy = total; /* the member `size` comes first */
    return copy;
}

static int32_t step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE;
}

static int32_t helper(dtm_t *rt, void *data)
{
    (void)rt, (void)data;
    return 0;
}

static dtm_config_t config;
static dtm_callbacks_t callbacks;

/* dtm_new() with these; the runtime, if any, is gone afterwards. */
static int32_t try_new(const dtm_config_t *with_config, const dtm_callbacks_t *with_callbacks)
{
    dtm_t *const untouched = (dtm_t *)(void *)&config;
    dtm_t *rt = untouched;
    int32_t code = dtm_new(with_config, with_callbacks, NULL, &rt);
    CHECK((code == DTM_OK) == (rt != untouched));
    if (code == DTM_OK)
        dtm_free(rt);
    return code;
}

static void older_program(void)
{
    size_t config_then = offsetof(dtm_config_t, log_target);
    size_t callbacks_then = offsetof(dtm_callbacks_t, controller_init);
    CHECK(try_new(at_page_end(&config, sizeof config, config_then), &callbacks) == DTM_OK);
    CHECK(try_new(&config, at_page_end(&callbacks, sizeof callbacks, callbacks_then)) ==
          DTM_OK);
}

static void newer_program(void)
{
    size_t config_then = sizeof config + NEWER;
    size_t callbacks_then = sizeof callbacks + NEWER;
    dtm_config_t *longer = at_page_end(&config, sizeof config, config_then);
    dtm_callbacks_t *more = at_page_end(&callbacks, sizeof callbacks, callbacks_then);

    /* It does not use what this library does not know: fine. */
    CHECK(try_new(longer, &callbacks) == DTM_OK);
    CHECK(try_new(&config, more) == DTM_OK);
    /* It does. */
    ((char *)longer)[config_then - 1] = 1;
    ((char *)more)[sizeof callbacks] = 1;
    CHECK(try_new(longer, &callbacks) == DTM_ENOTSUP);
    CHECK(try_new(&config, more) == DTM_ENOTSUP);
}

static void nonsense(void)
{
    static const size_t sizes[] = {0, 1, 7, 65536 + 8, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        dtm_config_t c = config;
        dtm_callbacks_t cb = callbacks;
        c.size = sizes[i];
        cb.size = sizes[i];
        CHECK(try_new(&c, &callbacks) == DTM_EABI);
        CHECK(try_new(&config, &cb) == DTM_EABI);
    }
    char odd[sizeof config + 1];
    memcpy(odd + 1, &config, sizeof config);
    CHECK(try_new((dtm_config_t *)(void *)(odd + 1), &callbacks) == DTM_EABI);
    CHECK(try_new(NULL, &callbacks) == DTM_EINVAL);
    CHECK(try_new(&config, NULL) == DTM_EINVAL);
    CHECK(dtm_new(&config, &callbacks, NULL, NULL) == DTM_EINVAL);
}

/* The functions that initialise a struct write as much as the caller has. */
static void initialisers(void)
{
    unsigned char bytes[sizeof(dtm_config_t) + 1] __attribute__((aligned(8)));
    static const size_t sizes[] = {offsetof(dtm_config_t, log_target), sizeof(dtm_callbacks_t)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int which = 0; which < 2; which++) {
            memset(bytes, 0xa5, sizeof bytes);
            void *at = bytes;
            CHECK((which ? dtm_config_init(at, sizes[i]) : dtm_callbacks_init(at, sizes[i])) ==
                  DTM_OK);
            size_t size;
            memcpy(&size, bytes, sizeof size);
            CHECK(size == sizes[i] && bytes[sizeof size] == 0 && bytes[sizes[i] - 1] == 0 &&
                  bytes[sizes[i]] == 0xa5);
        }
    }
}

static void other_structs(void)
{
    dtm_t *rt = NULL;
    CHECK(dtm_new(&config, &callbacks, NULL, &rt) == DTM_OK);

    dtm_listen_t listen = DTM_LISTEN_INIT;
    listen.address = "127.0.0.1:0";
    CHECK(dtm_listen(
              rt, at_page_end(&listen, sizeof listen, offsetof(dtm_listen_t, backlog))) == 0);
    dtm_listen_t *longer = at_page_end(&listen, sizeof listen, sizeof listen + NEWER);
    CHECK(dtm_listen(rt, longer) == 1);
    ((char *)longer)[sizeof listen] = 1;
    CHECK(dtm_listen(rt, longer) == DTM_ENOTSUP);

    dtm_func_t func = DTM_FUNC_INIT;
    func.name = "helper";
    func.main = helper;
    CHECK(dtm_func_register(
              rt, at_page_end(&func, sizeof func, offsetof(dtm_func_t, message))) == 0);

    /* Handed out: no more than the caller has room for, and how much it is. */
    unsigned char bytes[sizeof(dtm_self_t) + NEWER] __attribute__((aligned(8)));
    size_t older = offsetof(dtm_self_t, draining);
    memset(bytes, 0xa5, sizeof bytes);
    dtm_self_t *self = (dtm_self_t *)(void *)bytes;
    CHECK(dtm_self(rt, self, older) == DTM_OK);
    CHECK(self->size == older && self->role == DTM_ROLE_HOST && self->pid == getpid() &&
          bytes[older] == 0xa5);
    CHECK(dtm_self(rt, self, sizeof bytes) == DTM_OK);
    CHECK(self->size == sizeof(dtm_self_t) && self->clients == 0);

    dtm_free(rt);
}

int main(void)
{
    config = (dtm_config_t)DTM_CONFIG_INIT;
    callbacks = (dtm_callbacks_t)DTM_CALLBACKS_INIT;
    callbacks.client_step = step;
    older_program();
    newer_program();
    nonsense();
    initialisers();
    other_structs();
    return 0;
}
