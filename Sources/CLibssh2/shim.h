#ifndef TIDEGATE_CLIBSSH2_H
#define TIDEGATE_CLIBSSH2_H

#include <errno.h>
#include <libssh2.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/types.h>

typedef ssize_t (*tidegate_ssh_receive)(libssh2_socket_t, void *, size_t, int, void **);
typedef ssize_t (*tidegate_ssh_send)(libssh2_socket_t, const void *, size_t, int, void **);
typedef void (*tidegate_ssh_disconnect)(LIBSSH2_SESSION *, int, const char *, int, const char *, int, void **);

// libssh2 copies passwords, packets and decrypted keys about in its own memory: all of it is wiped when it is freed.
static inline void *tidegate_ssh_alloc(size_t count, void **abstract) {
    (void)abstract;
    return malloc(count);
}

static inline void tidegate_ssh_free(void *pointer, void **abstract) {
    (void)abstract;
    if (pointer == NULL) return;
    explicit_bzero(pointer, malloc_usable_size(pointer));
    free(pointer);
}

static inline void *tidegate_ssh_realloc(void *pointer, size_t count, void **abstract) {
    void *grown = malloc(count);
    if (grown == NULL || pointer == NULL) return grown;
    size_t held = malloc_usable_size(pointer);
    memcpy(grown, pointer, held < count ? held : count);
    tidegate_ssh_free(pointer, abstract);
    return grown;
}

// A non-blocking session whose every byte goes through `receive` and `send`. NULL when memory is out.
// libssh2_session_callback_set takes each callback as void *; here their types are checked.
static inline LIBSSH2_SESSION *tidegate_ssh_session_new(
    void *context, tidegate_ssh_receive receive, tidegate_ssh_send send, tidegate_ssh_disconnect disconnect) {
    LIBSSH2_SESSION *session =
        libssh2_session_init_ex(tidegate_ssh_alloc, tidegate_ssh_free, tidegate_ssh_realloc, context);
    if (session == NULL) return NULL;
    libssh2_session_set_blocking(session, 0);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)receive);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)send);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_DISCONNECT, (void *)disconnect);
    return session;
}

// What libssh2 is to free with the allocator above.
static inline char *tidegate_ssh_duplicate(const void *bytes, size_t count) {
    char *copy = malloc(count == 0 ? 1 : count);
    if (copy != NULL) memcpy(copy, bytes, count);
    return copy;
}

// HMAC-SHA1 (20 bytes), which hashed known_hosts names are made of; from libssh2's own crypto library.
static inline int tidegate_hmac_sha1(
    const unsigned char *key, size_t key_length, const unsigned char *text, size_t text_length, unsigned char *output) {
    unsigned int length = 0;
    return HMAC(EVP_sha1(), key, (int)key_length, text, text_length, output, &length) != NULL && length == 20;
}

// POLLRDHUP of asm-generic/poll.h, which <poll.h> shows with _GNU_SOURCE only.
#define TIDEGATE_POLLRDHUP 0x2000

// Names the calling thread, for `ps -L` and debuggers; at most 15 characters.
static inline void tidegate_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

#endif
