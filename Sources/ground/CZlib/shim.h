#ifndef TIDEGATE_CZLIB_H
#define TIDEGATE_CZLIB_H

#include <zlib.h>

// deflateInit2 is a macro. 15 + 16: the largest window, and a gzip head and tail around (zlib.h); 8: its default memLevel.
static inline int tidegate_gzip_start(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

#endif
