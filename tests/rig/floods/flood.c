// What a user's job can do to whoever watches the node: flood KIND SECONDS [NUMBERS…], see table.py for each.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest(double seconds) {
    if (seconds <= 0) return;
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static void many_files(void) {
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) perror(path);
        close(fd);
    }
}

/* a namespace of one's own, in which one is root; what it then does needs nobody's leave */
static void own_space(int what) {
    char map[64];
    unsigned uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWUSER | what) != 0) { perror("unshare"); exit(1); }
    put("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", uid);
    put("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", gid);
    put("/proc/self/gid_map", map);
}

static int listener(struct sockaddr_in *at) {
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 1024) != 0) perror("listen");
    getsockname(fd, (struct sockaddr *)at, &size);
    return fd;
}

/* PER_S processes a second, each with a command line of control characters, each living 1.5 s */
static void forks(double until, int per_s) {
    static char name[4001];
    memset(name, 1, 4000);
    signal(SIGCHLD, SIG_IGN);
    for (double next = now_s(); next < until; next += 1.0 / per_s) {
        if (fork() == 0) { execl("/bin/sleep", name, "1.5", (char *)NULL); _exit(1); }
        rest(next - now_s());
    }
}

/* N processes below a path of 4,000 bytes, with a command line of 4,000 more; begun once by its own long name */
static void crowd(double until, int n) {
    for (int i = 0; i < n; i++)
        if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); rest(until - now_s()); _exit(0); }
    rest(until - now_s());
}

/* N processes with EACH descriptors, beside one that opens a new listener every 0.4 s */
static void files(double until, int n, int each) {
    many_files();
    for (int i = 0; i < each; i++)
        if (open(i % 2 ? "/dev/null" : "flood.dat", O_WRONLY | O_CREAT, 0600) < 0) { perror("open"); break; }
    for (int i = 0; i < n; i++)
        if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); rest(until - now_s()); _exit(0); }
    while (now_s() < until) {
        struct sockaddr_in at;
        int fd = listener(&at);
        rest(0.4);
        close(fd);
    }
}

/* SPACES mount namespaces with BINDS mounts each, and a file that is called as a GPU's device file */
static void mounts(double until, int spaces, int binds) {
    char top[128], path[256];
    own_space(CLONE_NEWNS);
    snprintf(top, sizeof top, "%060d", 0);
    mkdir(top, 0700);
    if (mount("none", top, "tmpfs", 0, "size=10m") != 0) perror("tmpfs");
    for (int i = 0; i < binds; i++) {
        snprintf(path, sizeof path, "%s/%060d", top, i);
        mkdir(path, 0700);
        if (mount(path, path, NULL, MS_BIND, NULL) != 0) { perror("bind"); break; }
    }
    snprintf(path, sizeof path, "%s/nvidia0", top);
    if (open(path, O_RDWR | O_CREAT, 0600) < 0) perror(path);
    for (int i = 0; i < spaces; i++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (unshare(CLONE_NEWNS) != 0) perror("unshare");
            rest(until - now_s());
            _exit(0);
        }
    rest(until - now_s());
}

/* PER_S connections a second, opened, used and closed: 10,000 between two looks and more */
static void churn(double until, int per_s) {
    struct sockaddr_in at;
    struct linger hard = {1, 0};  /* no TIME_WAIT: there are 28,000 ports */
    int door = listener(&at);
    long n = 0;
    double begun = now_s();
    while (now_s() < until) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) { close(fd); rest(0.01); continue; }
        int other = accept(door, NULL, NULL);
        if (write(fd, "x", 1) != 1) perror("write");
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        close(other);
        if (++n % 100 == 0) rest(begun + (double)n / per_s - now_s());
    }
    printf("%ld connections in %.1f s\n", n, now_s() - begun);
}

/* N processes with EACH pairs of sockets, connected and silent */
static void sockets(double until, int n, int each) {
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            struct sockaddr_in at;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            many_files();
            int door = listener(&at), made = 0;
            for (; made < each; made++) {
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) break;
                if (accept(door, NULL, NULL) < 0) break;
            }
            if (made < each) fprintf(stderr, "%d pairs of %d\n", made, each);
            rest(until - now_s());
            _exit(0);
        }
    rest(until - now_s());
}

/* N at a time, each makes a network namespace, listens in it and is gone after 0.1 s: it vanishes with it */
static void spaces(double until, int n) {
    long made = 0;
    own_space(CLONE_NEWNET);
    while (now_s() < until) {
        for (int i = 0; i < n; i++)
            if (fork() == 0) {
                struct sockaddr_in at;
                if (unshare(CLONE_NEWNET) != 0) _exit(1);
                listener(&at);
                rest(0.1);
                _exit(0);
            }
        for (int i = 0, status; i < n; i++) made += wait(&status) > 0 && status == 0;
    }
    printf("%ld network namespaces\n", made);
}

/* PER_S connections a second to an address each, in a network namespace of its own: answered by nobody */
static void scan(double until, int per_s) {
    own_space(CLONE_NEWNET);
    if (system("ip link set lo up && ip route add local 203.0.0.0/16 dev lo") != 0) perror("ip");
    long n = 0;
    double begun = now_s();
    while (now_s() < until) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(22)};
        to.sin_addr.s_addr = htonl(0xcb000001u + (unsigned)(n % 65000));
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&to, sizeof to);
        close(fd);
        if (++n % 100 == 0) rest(begun + (double)n / per_s - now_s());
    }
    printf("%ld connections in %.1f s\n", n, now_s() - begun);
}

static double last_s;
static void *stay(void *unused) {
    struct sockaddr_in at;
    many_files();
    listener(&at);
    rest(last_s - now_s());
    (void)unused;
    exit(0);
}

/* N processes whose first thread has ended while another lives: their /proc/PID/fd is not to be read */
static void headless(double until, int n) {
    last_s = until;
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            pthread_t other;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            const char *device = getenv("FLOOD_DEVICE");
            if (device != NULL && open(device, O_PATH) < 0) perror(device);
            pthread_create(&other, NULL, stay, NULL);
            pthread_exit(NULL);
        }
    rest(until - now_s());
}

static void *apart(void *unused) {
    struct sockaddr_in at;
    if (unshare(CLONE_FILES) != 0) perror("unshare");
    listener(&at);
    rest(last_s - now_s());
    (void)unused;
    return NULL;
}

/* N processes whose second thread has descriptors of its own: /proc/PID/fd shows those of the first */
static void threads(double until, int n) {
    last_s = until;
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            pthread_t other;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pthread_create(&other, NULL, apart, NULL);
            rest(until - now_s());
            _exit(0);
        }
    rest(until - now_s());
}

int main(int n, char **words) {
    int a = n > 3 ? atoi(words[3]) : 0, b = n > 4 ? atoi(words[4]) : 0;
    if (n < 3) return 2;
    double until = now_s() + atof(words[2]);
    const char *kind = words[1];
    printf("begin %s\n", kind);
    fflush(stdout);
    if (!strcmp(kind, "forks")) forks(until, a);
    else if (!strcmp(kind, "crowd")) crowd(until, a);
    else if (!strcmp(kind, "files")) files(until, a, b);
    else if (!strcmp(kind, "mounts")) mounts(until, a, b);
    else if (!strcmp(kind, "churn")) churn(until, a);
    else if (!strcmp(kind, "sockets")) sockets(until, a, b);
    else if (!strcmp(kind, "spaces")) spaces(until, a);
    else if (!strcmp(kind, "scan")) scan(until, a);
    else if (!strcmp(kind, "headless")) headless(until, a);
    else if (!strcmp(kind, "threads")) threads(until, a);
    else return 2;
    printf("done %s\n", kind);
    return 0;
}
