/* Writes down, in order, everything that a process and its children do to the files below one folder.
 *
 * Loaded by LD_PRELOAD.  POWER_ROOT names the folder, POWER_LOG the file of records; a record is
 *   u8 kind, u32 length of path, u32 length of second path or data, i64 offset, path, second path or data
 * in the machine's byte order.  A lock around each call and its record makes the order of records the order of effects
 * within a process; between processes O_APPEND keeps records whole.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWER_LOG");
    root = getenv("POWER_ROOT");
    if (!path || !root) return;
    root_length = strlen(root);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 200); /* out of the way of those who count on low ones */
    if (log_fd < 0) log_fd = fd;
    else syscall(SYS_close, fd);
}

static int watched(const char *path) {
    return log_fd >= 0 && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int absolute(int at, const char *path, char out[PATH_MAX]) {
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return 1;
    }
    char name[64];
    if (at == AT_FDCWD) snprintf(name, sizeof name, "/proc/self/cwd");
    else snprintf(name, sizeof name, "/proc/self/fd/%d", at);
    ssize_t n = readlink(name, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    snprintf(out + n, (size_t)(PATH_MAX - n), "/%s", path);
    return 1;
}

static int path_of(int fd, char out[PATH_MAX]) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return 1;
}

static void record(uint8_t kind, const char *path, const void *more, size_t length, int64_t offset) {
    uint8_t head[17];
    uint32_t path_length = (uint32_t)strlen(path), more_length = (uint32_t)length;
    head[0] = kind;
    memcpy(head + 1, &path_length, 4);
    memcpy(head + 5, &more_length, 4);
    memcpy(head + 9, &offset, 8);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, path_length}, {(void *)more, length}};
    if (syscall(SYS_writev, log_fd, parts, 3) != (long)(sizeof head + path_length + length)) abort();
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int opened(int at, const char *path, int flags, mode_t mode, int (*real)(int, const char *, int, ...)) {
    char full[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !absolute(at, path, full) || !watched(full))
        return real(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int existed = fstatat(at, path, &before, 0) == 0;
    int fd = real(at, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && !existed) record(CREATE, full, "", 0, 0);
    if (fd >= 0 && existed && (flags & O_TRUNC)) record(TRUNCATE, full, "", 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

static int through_openat(int at, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = va_arg(list, mode_t);
    va_end(list);
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

#define OPEN(name, large) \
    int name(const char *path, int flags, ...) { \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        return opened(AT_FDCWD, path, flags | large, mode, through_openat); \
    }
OPEN(open, 0)
OPEN(open64, O_LARGEFILE)

#define OPENAT(name, large) \
    int name(int at, const char *path, int flags, ...) { \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        return opened(at, path, flags | large, mode, through_openat); \
    }
OPENAT(openat, 0)
OPENAT(openat64, O_LARGEFILE)

static void wrote(int fd, const struct iovec *parts, int count, ssize_t done, int64_t offset) {
    char full[PATH_MAX];
    if (done <= 0 || log_fd < 0 || !path_of(fd, full) || !watched(full)) return;
    char *data = malloc((size_t)done);
    size_t at = 0;
    for (int i = 0; i < count && at < (size_t)done; i++) {
        size_t piece = parts[i].iov_len < (size_t)done - at ? parts[i].iov_len : (size_t)done - at;
        memcpy(data + at, parts[i].iov_base, piece);
        at += piece;
    }
    if (offset < 0) offset = (int64_t)lseek(fd, 0, SEEK_CUR) - done;
    record(WRITE, full, data, (size_t)done, offset);
    free(data);
}

#define LOCKED(type, call, after) \
    pthread_mutex_lock(&lock); \
    type done = call; \
    int saved = errno; \
    after; \
    pthread_mutex_unlock(&lock); \
    errno = saved; \
    return done

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = {(void *)data, size};
    LOCKED(ssize_t, syscall(SYS_write, fd, data, size), wrote(fd, &part, 1, done, -1));
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    LOCKED(ssize_t, syscall(SYS_writev, fd, parts, count), wrote(fd, parts, count, done, -1));
}
static ssize_t written_at(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    LOCKED(ssize_t, syscall(SYS_pwrite64, fd, data, size, offset), wrote(fd, &part, 1, done, offset));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return written_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return written_at(fd, data, size, offset); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    LOCKED(ssize_t, real(fd, parts, count, offset), wrote(fd, parts, count, done, offset));
}

static void of_fd(uint8_t kind, int fd, int done, int64_t size) {
    char full[PATH_MAX];
    if (done == 0 && log_fd >= 0 && path_of(fd, full) && watched(full)) record(kind, full, "", 0, size);
}
static int truncated(int fd, off_t size) { LOCKED(int, (int)syscall(SYS_ftruncate, fd, size), of_fd(TRUNCATE, fd, done, size)); }
int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncated(fd, size); }
int fsync(int fd) { LOCKED(int, (int)syscall(SYS_fsync, fd), of_fd(SYNC, fd, done, 0)); }
int fdatasync(int fd) { LOCKED(int, (int)syscall(SYS_fdatasync, fd), of_fd(SYNC, fd, done, 0)); }

static void of_path(uint8_t kind, int at, const char *path, int done) {
    char full[PATH_MAX];
    if (done == 0 && absolute(at, path, full) && watched(full)) record(kind, full, "", 0, 0);
}
static void of_paths(uint8_t kind, int from_at, const char *from, int to_at, const char *to, int done) {
    char one[PATH_MAX], two[PATH_MAX];
    if (done != 0 || !absolute(from_at, from, one) || !absolute(to_at, to, two)) return;
    if (watched(one) || watched(two)) record(kind, one, two, strlen(two), 0);
}
static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    LOCKED(int, (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags), of_paths(RENAME, from_at, from, to_at, to, done));
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }
static int linked(int a, const char *from, int b, const char *to, int flags) {
    LOCKED(int, (int)syscall(SYS_linkat, a, from, b, to, flags), of_paths(LINK, a, from, b, to, done));
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }
int unlinkat(int at, const char *path, int flags) {
    LOCKED(int, (int)syscall(SYS_unlinkat, at, path, flags), of_path(flags & AT_REMOVEDIR ? RMDIR : UNLINK, at, path, done));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int at, const char *path, mode_t mode) {
    LOCKED(int, (int)syscall(SYS_mkdirat, at, path, mode), of_path(MKDIR, at, path, done));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
