// Preloaded before libfaketime, which takes every absolute timer for one of the clock of day: those of Swift's runtime are not.
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

int timerfd_settime(int descriptor, int flags, const struct itimerspec *value, struct itimerspec *former) {
    return (int)syscall(SYS_timerfd_settime, descriptor, flags, value, former);
}
