/* Preloaded: lets the n-th write to a file below a folder fail, as on a disk
 * that is full. Writes are what makes, fills, keeps or renames a file: open and
 * fopen of one that is to be made, write, pwrite, writev, pwritev, fwrite,
 * fsync, fdatasync, ftruncate, close of one that was open for writing, rename
 * and renameat2.
 *
 * fail_writes says which is to fail; for a program that does not call it,
 * FAIL_WRITES="FIRST LAST LIST FOLDER" does, and a line on each write, its name
 * and path, is added to the file LIST.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long first, last, count;
static int list = -1;

/* From now on writes `from` to `to`, counted from 1, fail with ENOSPC. */
void fail_writes(const char* below, long from, long to) {
  strncpy(folder, below, sizeof(folder) - 1);
  first = from;
  last = to;
  count = 0;
}

/* Writes below the folder since then. */
long writes_counted(void) { return count; }

__attribute__((constructor)) static void read_environment(void) {
  static char list_path[PATH_MAX], below[PATH_MAX];
  const char* text = getenv("FAIL_WRITES");
  long from, to;
  if (!text) return;
  if (sscanf(text, "%ld %ld %4095s %4095s", &from, &to, list_path, below) != 4)
    abort();
  list = syscall(SYS_openat, AT_FDCWD, list_path,
                 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (list < 0) abort();
  fail_writes(below, from, to);
}

static int path_fails(const char* call, const char* path) {
  char line[PATH_MAX + 32];
  if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
  const long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  if (list >= 0) {
    const int size = snprintf(line, sizeof(line), "%s %s\n", call, path);
    if (syscall(SYS_write, list, line, size) != size) abort();
  }
  return first <= number && number <= last;
}

static int fails(const char* call, int file) {
  char link[64], path[PATH_MAX] = "";
  if (!folder[0]) return 0;
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  if (readlink(link, path, sizeof(path) - 1) < 0) return 0;
  return path_fails(call, path);
}

static int makes(const char* path) {
  const int saved = errno;
  const int made = folder[0] && access(path, F_OK) != 0;
  errno = saved;
  return made;
}

static int is_written(int file) {
  if (!folder[0]) return 0;
  const int flags = fcntl(file, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* `otherwise` is what the call gives where it fails. */
#define WRAPPED(type, name, parameters, arguments, failing, otherwise) \
  type name parameters {                                               \
    static type(*real) parameters;                                     \
    if (failing) {                                                     \
      errno = ENOSPC;                                                  \
      return otherwise;                                                \
    }                                                                  \
    if (!real) *(void**)&real = dlsym(RTLD_NEXT, #name);               \
    return real arguments;                                             \
  }

WRAPPED(ssize_t, write, (int f, const void* data, size_t size),
        (f, data, size), fails("write", f), -1)
WRAPPED(ssize_t, pwrite, (int f, const void* data, size_t size, off_t at),
        (f, data, size, at), fails("pwrite", f), -1)
WRAPPED(ssize_t, pwrite64, (int f, const void* data, size_t size, off64_t at),
        (f, data, size, at), fails("pwrite", f), -1)
WRAPPED(ssize_t, writev, (int f, const struct iovec* data, int parts),
        (f, data, parts), fails("writev", f), -1)
WRAPPED(ssize_t, pwritev, (int f, const struct iovec* data, int n, off_t at),
        (f, data, n, at), fails("pwritev", f), -1)
WRAPPED(ssize_t, pwritev64,
        (int f, const struct iovec* data, int n, off64_t at),
        (f, data, n, at), fails("pwritev", f), -1)
WRAPPED(size_t, fwrite, (const void* data, size_t size, size_t n, FILE* f),
        (data, size, n, f), fails("fwrite", fileno(f)), 0)
WRAPPED(int, fsync, (int f), (f), fails("fsync", f), -1)
WRAPPED(int, fdatasync, (int f), (f), fails("fdatasync", f), -1)
WRAPPED(int, ftruncate, (int f, off_t size), (f, size), fails("ftruncate", f),
        -1)
WRAPPED(int, ftruncate64, (int f, off64_t size), (f, size),
        fails("ftruncate", f), -1)
WRAPPED(int, renameat2,
        (int a, const char* from, int b, const char* to, unsigned flags),
        (a, from, b, to, flags), path_fails("renameat2", to), -1)
WRAPPED(int, rename, (const char* from, const char* to), (from, to),
        path_fails("rename", to), -1)
WRAPPED(FILE*, fopen, (const char* path, const char* mode), (path, mode),
        strpbrk(mode, "wa") && makes(path) && path_fails("fopen", path), NULL)
WRAPPED(FILE*, fopen64, (const char* path, const char* mode), (path, mode),
        strpbrk(mode, "wa") && makes(path) && path_fails("fopen", path), NULL)

/* The file is closed even where that fails. Of programs of the environment only:
 * LMDB, which has synced before, does not look at what close says. */
int close(int f) {
  const int failing = list >= 0 && is_written(f) && fails("close", f);
  const int status = syscall(SYS_close, f);
  if (!failing) return status;
  errno = ENOSPC;
  return -1;
}

#define WRAPPED_OPEN(name)                                             \
  int name(const char* path, int flags, ...) {                         \
    static int (*real)(const char*, int, mode_t);                      \
    va_list more;                                                      \
    va_start(more, flags);                                             \
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;    \
    va_end(more);                                                      \
    if (flags & O_CREAT && makes(path) && path_fails("open", path)) {  \
      errno = ENOSPC;                                                  \
      return -1;                                                       \
    }                                                                  \
    if (!real) *(void**)&real = dlsym(RTLD_NEXT, #name);               \
    return real(path, flags, mode);                                    \
  }

WRAPPED_OPEN(open)
WRAPPED_OPEN(open64)
