// Connections at a pace: scan PER_S SECONDS FIRST_ADDRESS N_ADDRESSES PORT HELD UID; prints how many were made.
// With UID 0 and PER_S 0 the far end: takes what comes at PORT and closes it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void far_end(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int door = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(door, (struct sockaddr *)&at, sizeof at) != 0 || listen(door, 4096) != 0) { perror("listen"); exit(1); }
    for (;;) close(accept(door, NULL, NULL));
}

int main(int n, char **words) {
    if (n < 8) return 2;
    int per_s = atoi(words[1]), port = atoi(words[5]), held = atoi(words[6]), uid = atoi(words[7]);
    double seconds = atof(words[2]);
    unsigned first = ntohl(inet_addr(words[3])), many = (unsigned)atoi(words[4]);
    if (per_s == 0) far_end(port);
    if (uid && setuid(uid) != 0) { perror("setuid"); return 1; }
    int *ring = calloc(held, sizeof *ring);
    memset(ring, -1, held * sizeof *ring);
    long made = 0;
    double begun = now_s();
    while (now_s() < begun + seconds) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        to.sin_addr.s_addr = htonl(first + made % many);
        int *at = &ring[made % held];
        if (*at >= 0) close(*at);
        *at = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(*at, (struct sockaddr *)&to, sizeof to);
        if (++made % 50 == 0 || per_s < 50) {
            double wait = begun + (double)made / per_s - now_s();
            if (wait > 0) usleep((useconds_t)(wait * 1e6));
        }
    }
    for (int k = 0; k < held; k++) if (ring[k] >= 0) close(ring[k]);
    printf("%ld\n", made);
    return 0;
}
