/* A simulated libproc.dylib: Apple's interface, answered from this Linux host's /proc.
 *
 * Follows bsd/sys/proc_info.h and libsyscall/wrappers/libproc/libproc.h of xnu, sysctl(3) for
 * KERN_PROCARGS2 and hw.memsize. The structures are written down here again and not taken from the
 * code under test. Not modelled: fileports (none), pcblist_n (the name is unknown), the state of
 * TCP beyond its name, embedded scopes, SIP, and whether a socket of :: is for IPv6 only, which
 * /proc doesn't tell: it is said to be if there is another one of 0.0.0.0 with the same port.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct fdinfo { int32_t fd; uint32_t type; };
union address { struct { uint32_t pad[3], v4; } v46; uint8_t v6[16]; };
struct in_sockinfo {
    int fport, lport;
    uint64_t gencnt;
    uint32_t flags, flow;
    uint8_t vflag, ttl;
    uint32_t rfu;
    union address faddr, laddr;
    struct { uint8_t tos; } v4;
    struct { uint8_t hlim; int cksum; uint16_t ifindex; int16_t hops; } v6;
};
struct tcp_sockinfo {
    struct in_sockinfo ini;
    int state, timer[4], mss;
    uint32_t flags, rfu;
    uint64_t tp;
};
struct vinfo_stat {
    uint32_t dev; uint16_t mode, nlink; uint64_t ino; uint32_t uid, gid;
    int64_t times[8], size, blocks; int32_t blksize; uint32_t flags, gen, rdev; int64_t spare[2];
};
struct sockbuf_info { uint32_t cc, hiwat, mbcnt, mbmax, lowat; int16_t flags, timeo; };
struct socket_fdinfo {
    struct { uint32_t openflags, status; int64_t offset; int32_t type; uint32_t guard; } pfi;
    struct vinfo_stat stat;
    uint64_t so, pcb;
    int type, protocol, family;
    int16_t options, linger, state, qlen, incqlen, qlimit, timeo;
    uint16_t error;
    uint32_t oobmark;
    struct sockbuf_info rcv, snd;
    int kind;
    uint32_t rfu;
    union { struct in_sockinfo in; struct tcp_sockinfo tcp; uint8_t un[528]; } proto;
};
struct bsdinfo {
    uint32_t flags, status, xstatus, pid, ppid, uid, gid, ruid, rgid, svuid, svgid, rfu;
    char comm[16], name[32];
    uint32_t nfiles, pgid, pjobc, tdev, tpgid; int32_t nice;
    uint64_t start_sec, start_usec;
};
_Static_assert(sizeof(struct socket_fdinfo) == 792, "struct socket_fdinfo");
_Static_assert(sizeof(struct bsdinfo) == 136, "struct proc_bsdinfo");

enum { LISTFDS = 1, TBSDINFO = 3, LISTFILEPORTS = 14, FDSOCKETINFO = 3, FDTYPE_SOCKET = 2 };
enum { INET = 2, INET6 = 30, INI_IPV4 = 1, INI_IPV6 = 2, KIND_IN = 1, KIND_TCP = 2 };
/* From the states of Linux (tcp_states.h) to those of macOS (tcp_fsm.h). */
static const int STATES[] = {0, 4, 2, 3, 6, 9, 10, 0, 5, 8, 1, 7};

static int is_number(const char *text) {
    if (!*text) return 0;
    for (; *text; text++) if (!isdigit((unsigned char)*text)) return 0;
    return 1;
}

static ssize_t slurp(const char *path, char *buffer, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    size_t done = 0;
    ssize_t got;
    while (done < size && (got = read(file, buffer + done, size - done)) > 0) done += (size_t)got;
    close(file);
    return (ssize_t)done;
}

int proc_listallpids(void *buffer, int size) {
    DIR *proc = opendir("/proc");
    int number = 0, room = size / (int)sizeof(int), *pids = buffer;
    if (!proc) return -1;
    for (struct dirent *entry; (entry = readdir(proc));) {
        if (!is_number(entry->d_name)) continue;
        if (pids) {
            if (number == room) break;
            pids[number] = atoi(entry->d_name);
        }
        number++;
    }
    closedir(proc);
    return number;
}

static unsigned long inode_of(int pid, int fd) {
    char path[64], target[64];
    unsigned long inode = 0;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size <= 0) return 0;
    target[size] = 0;
    return sscanf(target, "socket:[%lu]", &inode) == 1 ? inode : 0;
}

static int list_fds(int pid, struct fdinfo *found, int size) {
    char path[64];
    int number = 0, room = size / (int)sizeof *found;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    if (!fds) { errno = EPERM; return 0; }
    for (struct dirent *entry; (entry = readdir(fds));) {
        if (!is_number(entry->d_name)) continue;
        if (found) {
            if (number == room) break;
            int fd = atoi(entry->d_name);
            found[number] = (struct fdinfo){fd, inode_of(pid, fd) ? FDTYPE_SOCKET : 1};
        }
        number++;
    }
    closedir(fds);
    return number * (int)sizeof(struct fdinfo);
}

static int about(int pid, struct bsdinfo *info) {
    char path[64], text[4096], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    ssize_t size = slurp(path, text, sizeof text - 1);
    if (size <= 0) return 0;
    text[size] = 0;
    memset(info, 0, sizeof *info);
    info->pid = (uint32_t)pid;
    char *at;
    sscanf(text, "Name:\t%31[^\n]", name);
    if ((at = strstr(text, "\nPPid:"))) sscanf(at, "\nPPid: %u", &info->ppid);
    if ((at = strstr(text, "\nUid:")))
        sscanf(at, "\nUid: %u %u %u", &info->ruid, &info->uid, &info->svuid);
    if ((at = strstr(text, "\nGid:")))
        sscanf(at, "\nGid: %u %u %u", &info->rgid, &info->gid, &info->svgid);
    /* What starts everything is called so there. */
    if (pid == 1) strcpy(name, "launchd");
    snprintf(info->name, sizeof info->name, "%s", name);
    memcpy(info->comm, info->name, sizeof info->comm - 1);
    unsigned long long ticks = 0, boot = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if ((size = slurp(path, text, sizeof text - 1)) > 0) {
        text[size] = 0;
        if ((at = strrchr(text, ')')))
            sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d"
                           " %*d %*d %llu", &ticks);
    }
    FILE *stat = fopen("/proc/stat", "re");
    char *line = NULL;
    size_t room = 0;
    while (stat && getline(&line, &room, stat) > 0)
        if (sscanf(line, "btime %llu", &boot) == 1) break;
    free(line);
    if (stat) fclose(stat);
    info->start_sec = boot + ticks / 100;
    info->start_usec = ticks % 100 * 10000;
    return (int)sizeof *info;
}

int proc_pidinfo(int pid, int flavor, uint64_t arg, void *buffer, int size) {
    (void)arg;
    switch (flavor) {
    case LISTFDS: return list_fds(pid, buffer, size);
    case LISTFILEPORTS: return 0;
    case TBSDINFO: return size >= (int)sizeof(struct bsdinfo) ? about(pid, buffer) : 0;
    default: errno = EINVAL; return 0;
    }
}

static void read_address(const char *hex, int words, uint8_t *out) {
    for (int i = 0; i < words; i++) {
        unsigned value;
        sscanf(hex + 8 * i, "%8x", &value);
        memcpy(out + 4 * i, &value, 4);
    }
}

static void fill_address(union address *into, const char *hex, int is_v6) {
    memset(into, 0, sizeof *into);
    if (is_v6) read_address(hex, 4, into->v6);
    else read_address(hex, 1, (uint8_t *)&into->v46.v4);
}

struct row { char local[33], remote[33]; unsigned lport, fport, state, uid; unsigned long inode; };

static int read_row(const char *line, struct row *row) {
    return sscanf(line, " %*d: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %*s %*s %*s %u %*d %lu", row->local,
                  &row->lport, row->remote, &row->fport, &row->state, &row->uid, &row->inode) == 7;
}

/* Find a socket by its inode, or (inode 0) one of a port with the wildcard address. */
static int find_row(const char *table, unsigned long inode, unsigned port, struct row *row) {
    char path[32], *line = NULL;
    size_t room = 0;
    int found = 0;
    snprintf(path, sizeof path, "/proc/net/%s", table);
    FILE *file = fopen(path, "re");
    while (file && !found && getline(&line, &room, file) > 0)
        found = read_row(line, row) && (inode ? row->inode == inode
                                              : row->lport == port && !strtoul(row->local, NULL, 16));
    free(line);
    if (file) fclose(file);
    return found;
}

int proc_pidfdinfo(int pid, int fd, int flavor, void *buffer, int size) {
    static const char *const TABLES[] = {"tcp", "tcp6", "udp", "udp6"};
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t ANY[16] = {0};
    struct socket_fdinfo *info = buffer;
    struct row row, other;
    unsigned long inode = inode_of(pid, fd);
    if (flavor != FDSOCKETINFO || size < (int)sizeof *info || !inode) { errno = EBADF; return 0; }
    memset(info, 0, sizeof *info);
    info->so = inode;
    for (int n = 0; n < 4; n++) {
        if (!find_row(TABLES[n], inode, 0, &row)) continue;
        int is_tcp = n < 2, is_v6 = n & 1;
        struct in_sockinfo *in = &info->proto.in;
        info->family = is_v6 ? INET6 : INET;
        info->type = is_tcp ? 1 : 2;
        info->protocol = is_tcp ? 6 : 17;
        info->kind = is_tcp ? KIND_TCP : KIND_IN;
        /* In the order of the network, in an int. */
        in->lport = (int)((row.lport & 0xff) << 8 | row.lport >> 8);
        in->fport = (int)((row.fport & 0xff) << 8 | row.fport >> 8);
        fill_address(&in->laddr, row.local, is_v6);
        fill_address(&in->faddr, row.remote, is_v6);
        in->vflag = is_v6 ? INI_IPV6 : INI_IPV4;
        if (is_v6 && !memcmp(in->laddr.v6, MAPPED, sizeof MAPPED)) in->vflag = INI_IPV4;
        if (is_v6 && !memcmp(in->laddr.v6, ANY, sizeof ANY)
            && !find_row(TABLES[n - 1], 0, row.lport, &other)) in->vflag = INI_IPV4 | INI_IPV6;
        if (is_tcp) info->proto.tcp.state = row.state < 12 ? STATES[row.state] : 0;
        break;
    }
    return (int)sizeof *info;
}

int proc_pidfileportinfo(int pid, uint32_t port, int flavor, void *buffer, int size) {
    (void)pid, (void)port, (void)flavor, (void)buffer, (void)size;
    errno = EBADF;
    return 0;
}

int proc_pidpath(int pid, void *buffer, uint32_t size) {
    char path[64];
    if (pid == 1) return snprintf(buffer, size, "/sbin/launchd");
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t got = readlink(path, buffer, size - 1);
    if (got <= 0) return 0;
    ((char *)buffer)[got] = 0;
    return (int)got;
}

/* KERN_PROCARGS2: the number of arguments, the program, zeros, arguments and environment. */
int sysctl(int *name, unsigned length, void *old, size_t *size, const void *new, size_t newlen) {
    (void)new, (void)newlen;
    char path[64], *out = old;
    if (length != 3 || name[0] != 1 || name[1] != 49 || !old || *size < 8192) {
        errno = EINVAL;
        return -1;
    }
    size_t at = sizeof(int);
    int got = proc_pidpath(name[2], out + at, 4096), arguments = 0;
    if (got <= 0) { errno = EINVAL; return -1; }
    at += (size_t)got;
    for (int n = 0; n < 4; n++) out[at++] = 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", name[2]);
    ssize_t words = slurp(path, out + at, *size - at);
    if (words < 0) { errno = EINVAL; return -1; }
    for (ssize_t n = 0; n < words; n++) arguments += !out[at + (size_t)n];
    at += (size_t)words;
    snprintf(path, sizeof path, "/proc/%d/environ", name[2]);
    ssize_t environment = slurp(path, out + at, *size - at);
    if (environment > 0) at += (size_t)environment;
    memcpy(out, &arguments, sizeof arguments);
    *size = at;
    return 0;
}

int sysctlbyname(const char *name, void *old, size_t *size, const void *new, size_t newlen) {
    (void)new, (void)newlen;
    uint64_t value;
    if (!strcmp(name, "hw.memsize"))
        value = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    else if (!strcmp(name, "sysctl.proc_translated"))
        value = 0;
    else { errno = ENOENT; return -1; }
    if (old) memcpy(old, &value, sizeof value);
    *size = sizeof value;
    return 0;
}
