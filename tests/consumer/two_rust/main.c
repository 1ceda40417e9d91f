/* libdtm.a beside another Rust archive: both work, neither sees the other. */
#include <dtm.h>
#include <stdio.h>

extern int other_catches_a_panic(void);

int main(void)
{
    printf("libdtm %s\n", dtm_version());
    return !(dtm_abi_version() == DTM_ABI_VERSION && other_catches_a_panic() == 1);
}
