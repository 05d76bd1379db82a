#ifndef TIDEGATE_CLIBSSH2_H
#define TIDEGATE_CLIBSSH2_H

#include <errno.h>
#include <libssh2.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

// Before the first use of OpenSSL, which libssh2 calls: it would take itself apart in exit(3), while a connection's thread that has just
// ended still gives back what OpenSSL keeps for each thread. The heap was damaged so (OPENSSL_init_crypto(3), OPENSSL_INIT_NO_ATEXIT).
static inline void tidegate_keep_crypto_at_exit(void) { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }

// libssh2_init(3): 0, or an error of libssh2's.
static inline int tidegate_ssh_start(void) {
    tidegate_keep_crypto_at_exit();
    return libssh2_init(0);
}

typedef ssize_t (*tidegate_ssh_receive)(libssh2_socket_t, void *, size_t, int, void **);
typedef ssize_t (*tidegate_ssh_send)(libssh2_socket_t, const void *, size_t, int, void **);
typedef void (*tidegate_ssh_disconnect)(LIBSSH2_SESSION *, int, const char *, int, const char *, int, void **);

// What a session's callbacks are given: whose they are, and the bytes that libssh2 holds for the session just now.
struct tidegate_ssh_context {
    void *wire;
    size_t held;
};

static inline void tidegate_ssh_count(void **abstract, size_t more, size_t less) {
    struct tidegate_ssh_context *context = *abstract;
    if (context != NULL) context->held += more - less;
}

// libssh2 copies passwords, packets and decrypted keys about in its own memory: all of it is wiped when it is freed, and counted.
static inline void *tidegate_ssh_alloc(size_t count, void **abstract) {
    void *pointer = malloc(count);
    if (pointer != NULL) tidegate_ssh_count(abstract, malloc_usable_size(pointer), 0);
    return pointer;
}

static inline void tidegate_ssh_free(void *pointer, void **abstract) {
    if (pointer == NULL) return;
    size_t size = malloc_usable_size(pointer);
    // Before the wiping: the last block is the session, with the context's address in it.
    tidegate_ssh_count(abstract, 0, size);
    explicit_bzero(pointer, size);
    free(pointer);
}

static inline void *tidegate_ssh_realloc(void *pointer, size_t count, void **abstract) {
    void *grown = tidegate_ssh_alloc(count, abstract);
    if (grown == NULL || pointer == NULL) return grown;
    size_t held = malloc_usable_size(pointer);
    memcpy(grown, pointer, held < count ? held : count);
    tidegate_ssh_free(pointer, abstract);
    return grown;
}

// Gives the pages of a block that hold zeros alone back to the kernel, which hands zeros out again where they are written to.
// A session has 50 KB of packet buffers and clears them when it is made: kept by each of many connections that rarely fill one.
// Returns the bytes given back.
static inline size_t tidegate_release_zero_pages(void *block) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *end = (char *)block + malloc_usable_size(block);
    char *first = (char *)(((size_t)block + page - 1) & ~(page - 1));
    size_t released = 0;
    for (char *at = first; at + page <= end; at += page) {
        if (*at != 0 || memcmp(at, at + 1, page - 1) != 0) continue;
        // What fails leaves the zeros that are there.
        if (madvise(at, page, MADV_DONTNEED) == 0) released += page;
    }
    return released;
}

// A non-blocking session whose every byte goes through `receive` and `send`. NULL when memory is out.
// libssh2_session_callback_set takes each callback as void *; here their types are checked.
static inline LIBSSH2_SESSION *tidegate_ssh_session_new(
    struct tidegate_ssh_context *context, tidegate_ssh_receive receive, tidegate_ssh_send send, tidegate_ssh_disconnect disconnect) {
    LIBSSH2_SESSION *session =
        libssh2_session_init_ex(tidegate_ssh_alloc, tidegate_ssh_free, tidegate_ssh_realloc, context);
    if (session == NULL) return NULL;
    tidegate_release_zero_pages(session);
    libssh2_session_set_blocking(session, 0);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)receive);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)send);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_DISCONNECT, (void *)disconnect);
    return session;
}

// What libssh2 is to free with the allocator above.
static inline char *tidegate_ssh_duplicate(const void *bytes, size_t count, void **abstract) {
    char *copy = tidegate_ssh_alloc(count == 0 ? 1 : count, abstract);
    if (copy != NULL) memcpy(copy, bytes, count);
    return copy;
}

// HMAC-SHA1 (20 bytes), which hashed known_hosts names are made of; from libssh2's own crypto library.
static inline int tidegate_hmac_sha1(
    const unsigned char *key, size_t key_length, const unsigned char *text, size_t text_length, unsigned char *output) {
    unsigned int length = 0;
    tidegate_keep_crypto_at_exit();
    return HMAC(EVP_sha1(), key, (int)key_length, text, text_length, output, &length) != NULL && length == 20;
}

// POLLRDHUP of asm-generic/poll.h, which <poll.h> shows with _GNU_SOURCE only.
#define TIDEGATE_POLLRDHUP 0x2000

// pthread_getattr_np(3), which <pthread.h> shows with _GNU_SOURCE only.
extern int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes);

// Gives the calling thread's stack below its present frame back to the kernel: a login and a command take some 20 KB of it, which each
// of many threads that wait would keep.
static inline void tidegate_release_stack(void) {
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    int code = pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    // Two pages are far more than what calls from here need, and the 128 bytes that may be used below the stack pointer.
    size_t end = ((size_t)__builtin_frame_address(0) & ~(page - 1)) - 2 * page;
    if (code == 0 && end > (size_t)lowest && end < (size_t)lowest + size) madvise(lowest, end - (size_t)lowest, MADV_DONTNEED);
}

// Names the calling thread, for `ps -L` and debuggers; at most 15 characters.
static inline void tidegate_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

#endif
