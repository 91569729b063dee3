/* Preloaded: lets the n-th write to a file below a folder fail, as on a disk
 * that is full. Writes are write, pwrite, writev, pwritev, fsync, fdatasync,
 * ftruncate, rename and renameat2; fail_writes says which is to fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long first, last, count;

/* From now on writes `from` to `to`, counted from 1, fail with ENOSPC. */
void fail_writes(const char* below, long from, long to) {
  strncpy(folder, below, sizeof(folder) - 1);
  first = from;
  last = to;
  count = 0;
}

/* Writes below the folder since then. */
long writes_counted(void) { return count; }

static int path_fails(const char* path) {
  if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
  ++count;
  return first <= count && count <= last;
}

static int fails(int file) {
  char link[64], path[PATH_MAX] = "";
  if (!folder[0]) return 0;
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  if (readlink(link, path, sizeof(path) - 1) < 0) return 0;
  return path_fails(path);
}

#define WRAPPED(type, name, parameters, arguments, failing)            \
  type name parameters {                                               \
    static type(*real) parameters;                                     \
    if (failing) {                                                     \
      errno = ENOSPC;                                                  \
      return -1;                                                       \
    }                                                                  \
    if (!real) *(void**)&real = dlsym(RTLD_NEXT, #name);               \
    return real arguments;                                             \
  }

WRAPPED(ssize_t, write, (int f, const void* data, size_t size),
        (f, data, size), fails(f))
WRAPPED(ssize_t, pwrite, (int f, const void* data, size_t size, off_t at),
        (f, data, size, at), fails(f))
WRAPPED(ssize_t, pwrite64, (int f, const void* data, size_t size, off64_t at),
        (f, data, size, at), fails(f))
WRAPPED(ssize_t, writev, (int f, const struct iovec* data, int parts),
        (f, data, parts), fails(f))
WRAPPED(ssize_t, pwritev, (int f, const struct iovec* data, int n, off_t at),
        (f, data, n, at), fails(f))
WRAPPED(ssize_t, pwritev64,
        (int f, const struct iovec* data, int n, off64_t at),
        (f, data, n, at), fails(f))
WRAPPED(int, fsync, (int f), (f), fails(f))
WRAPPED(int, fdatasync, (int f), (f), fails(f))
WRAPPED(int, ftruncate, (int f, off_t size), (f, size), fails(f))
WRAPPED(int, ftruncate64, (int f, off64_t size), (f, size), fails(f))
WRAPPED(int, renameat2,
        (int a, const char* from, int b, const char* to, unsigned flags),
        (a, from, b, to, flags), path_fails(to))
WRAPPED(int, rename, (const char* from, const char* to), (from, to),
        path_fails(to))
