/* Makes the disk of one program slow while it runs: preloaded, it waits before each fsync and fdatasync for as many
 * microseconds as the first eight bytes of the file PRELOAD_FILE hold, in the machine's own order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void delay(void)
{
    static const volatile int64_t *micros;
    if (!micros) {
        const char *name = getenv("PRELOAD_FILE");
        int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        if (page == MAP_FAILED)
            return;
        micros = page;
    }
    if (*micros > 0)
        usleep((useconds_t)*micros);
}

int fsync(int file)
{
    int (*kernel)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    delay();
    return kernel(file);
}

int fdatasync(int file)
{
    int (*kernel)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    delay();
    return kernel(file);
}
