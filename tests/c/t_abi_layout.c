/* The C compiler lays every struct of dtm.h out as the library does. */
#include <dtm.h>
#include <stddef.h>
#include <stdio.h>

static int wrong;

static void check(const char *what, size_t here, size_t library)
{
    if (here == library)
        return;
    printf("%s: %zu here, %zu in the library\n", what, here, library);
    wrong = 1;
}

int main(void)
{
#ifdef __LP64__
#define SIZE(type, bytes)           check("sizeof " #type, sizeof(type), bytes);
#define OFFSET(type, member, bytes) check(#type "." #member, offsetof(type, member), bytes);
#include "layout.h"
#endif
    check("DTM_ABI_VERSION", DTM_ABI_VERSION, dtm_abi_version());
    return wrong;
}
