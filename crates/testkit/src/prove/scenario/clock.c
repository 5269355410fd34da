/* Moves the wall clock of one process while it runs: preloaded, it adds to what the kernel says as many seconds as the
 * first eight bytes of the file PRELOAD_FILE hold, in the machine's own order. Other clocks stay as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile int64_t *offset(void)
{
    const char *name = getenv("PRELOAD_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    return page == MAP_FAILED ? NULL : page;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*kernel)(clockid_t, struct timespec *);
    static const volatile int64_t *seconds;
    if (!kernel) {
        seconds = offset();
        kernel = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int outcome = kernel(clock, now);
    if (outcome == 0 && clock == CLOCK_REALTIME && seconds)
        now->tv_sec += *seconds;
    return outcome;
}
