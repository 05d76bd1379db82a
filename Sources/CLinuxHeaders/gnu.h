// What glibc declares only under _GNU_SOURCE, which Swift does not set.
#pragma once

/// mallopt(3), which Swift's Glibc module leaves out.
#include <malloc.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>

/// strerror(3): "EEXIST", and its words; NULL for an unknown number. glibc 2.32.
extern const char *_Nullable strerrorname_np(int errnum);
extern const char *_Nullable strerrordesc_np(int errnum);

/// unshare(2), setns(2).
extern int unshare(int flags);
extern int setns(int fd, int nstype);

/// posix_spawn(3): closes every descriptor from `from` on in the child. glibc 2.34.
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *_Nonnull actions, int from);

/// posix_spawn(3): the child's working directory. glibc 2.29.
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *_Nonnull actions, const char *_Nonnull path);

/// posix_spawn(3): the child gets a session of its own. glibc 2.26.
#ifndef POSIX_SPAWN_SETSID
#define POSIX_SPAWN_SETSID 0x80
#endif

/// pipe(2), syncfs(2).
extern int pipe2(int ends[_Nonnull 2], int flags);
extern int syncfs(int fd);

/// prctl(2), which is variadic.
static inline int tidegate_prctl(int option, unsigned long value) { return prctl(option, value, 0, 0, 0); }
static inline int tidegate_raise_ambient(unsigned long capability) {
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}
