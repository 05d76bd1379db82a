// What glibc declares only under _GNU_SOURCE, which Swift does not set.
#pragma once

/// mallopt(3), which Swift's Glibc module leaves out.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

/// strerror(3): "EEXIST", and its words; NULL for an unknown number. glibc 2.32.
extern const char *_Nullable strerrorname_np(int errnum);
extern const char *_Nullable strerrordesc_np(int errnum);

/// memmem(3): linear in both lengths.
extern void *_Nullable memmem(const void *_Nonnull text, size_t length, const void *_Nonnull words, size_t count);

/// unshare(2), setns(2).
#ifndef CLONE_NEWNS
#define CLONE_NEWNS 0x00020000
#endif
#ifndef CLONE_NEWUSER
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWNET 0x40000000
#endif
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

struct sockaddr;
/// accept(2): the new socket's flags.
extern int accept4(int fd, struct sockaddr *_Nullable address, unsigned int *_Nullable length, int flags);

/// mkostemp(3).
extern int mkostemp(char *_Nonnull name, int flags);

/// pipe(2), syncfs(2).
extern int pipe2(int ends[_Nonnull 2], int flags);
extern int syncfs(int fd);

/// pidfd_open(2), pidfd_getfd(2). glibc 2.36.
extern int pidfd_open(pid_t pid, unsigned int flags);
extern int pidfd_getfd(int pidfd, int descriptor, unsigned int flags);

/// prctl(2), which is variadic.
static inline int tidegate_prctl(int option, unsigned long value) { return prctl(option, value, 0, 0, 0); }

extern int setresuid(uid_t real, uid_t effective, uid_t saved);
extern int setresgid(gid_t real, gid_t effective, gid_t saved);
extern int setgroups(size_t count, const gid_t *_Nullable groups);
extern long syscall(long number, ...);

/// Becomes another user with one capability and no way to another (capabilities(7)): in this thread, so of a process of one alone.
/// -1 and errno when a step failed.
static inline int tidegate_become(uid_t user, gid_t group, unsigned capability) {
    for (unsigned each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++)
        if (each != capability && prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0) return -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return -1;
    if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0) return -1;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    data[0].effective = data[0].permitted = data[0].inheritable = 1u << capability;
    if (syscall(SYS_capset, &header, data) != 0) return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
