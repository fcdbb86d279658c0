// Echo, level-triggered, by hand: ./echo PORT. One read an event; EPOLLOUT is asked for only while something is unsent.

#include "server.h"

#ifndef READ_BYTES
#define READ_BYTES (16 * 1024)
#endif

struct connection {
    int fd;
    char* unsent;  // NULL: nothing
    size_t sent, size;
};

static char buffer[READ_BYTES];

static void drop(struct connection* c) {
    close(c->fd);
    free(c->unsent);
    free(c);
}

// Returns false when the connection is at its end.
static bool flush(int poller, struct connection* c) {
    const ssize_t n = send(c->fd, c->unsent + c->sent, c->size - c->sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c->sent += (size_t)n;
    if (c->sent < c->size) return true;
    free(c->unsent);
    c->unsent = NULL;
    watch(poller, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    return true;
}

static bool echo(int poller, struct connection* c) {
    const ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    ssize_t sent = send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (sent < 0) sent = 0;
    if (sent == n) return true;
    c->size = (size_t)(n - sent);
    c->sent = 0;
    c->unsent = allocate(c->size);
    memcpy(c->unsent, buffer + sent, c->size);
    watch(poller, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
    return true;
}

int main(int argc, char** argv) {
    require(argc == 2, "usage: echo PORT");
    const int listener = listen_on(argv[1]), poller = epoll_create1(EPOLL_CLOEXEC);
    watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[256];
        const int count = epoll_wait(poller, events, 256, -1);
        require(count >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < count; ++i) {
            struct connection* c = events[i].data.ptr;
            if (c == NULL) {
                const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) continue;
                c = allocate(sizeof *c);
                c->fd = fd;
                watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN, c);
            } else if (c->unsent != NULL ? !flush(poller, c) : !echo(poller, c)) {
                drop(c);
            }
        }
    }
}
