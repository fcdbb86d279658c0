// Echo, edge-triggered, by hand: ./echo PORT. One registration a connection, and a short read is not followed by one that
// could only say EAGAIN. What a slow peer does not take is kept until EPOLLOUT, and nothing is read meanwhile.

#include "server.h"

#ifndef READ_BYTES
#define READ_BYTES (16 * 1024)
#endif

struct connection {
    int fd;
    char* unsent;  // NULL: nothing
    size_t sent, size;
    bool ended;  // the end of the stream, or an error, was announced: a short read is not the last
};

static char buffer[READ_BYTES];

static void drop(struct connection* c) {
    close(c->fd);
    free(c->unsent);
    free(c);
}

// Returns how much was sent, or -1.
static ssize_t send_some(int fd, const char* data, size_t size) {
    size_t sent = 0;
    while (sent < size) {
        const ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return -1;
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

// Returns false when the connection is at its end.
static bool flush(struct connection* c) {
    const ssize_t n = send_some(c->fd, c->unsent + c->sent, c->size - c->sent);
    if (n < 0) return false;
    c->sent += (size_t)n;
    if (c->sent < c->size) return true;
    free(c->unsent);
    c->unsent = NULL;
    return true;
}

static bool echo(struct connection* c) {
    if (c->unsent != NULL && !flush(c)) return false;
    while (c->unsent == NULL) {
        const ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return false;
        const ssize_t sent = send_some(c->fd, buffer, (size_t)n);
        if (sent < 0) return false;
        if (sent < n) {
            c->size = (size_t)(n - sent);
            c->sent = 0;
            c->unsent = allocate(c->size);
            memcpy(c->unsent, buffer + sent, c->size);
        }
        if (n < (ssize_t)sizeof buffer && !c->ended) break;
    }
    return true;
}

static void accept_all(int poller, int listener) {
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) return;
        struct connection* c = allocate(sizeof *c);
        c->fd = fd;
        watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c);
    }
}

int main(int argc, char** argv) {
    require(argc == 2, "usage: echo PORT");
    const int listener = listen_on(argv[1]), poller = epoll_create1(EPOLL_CLOEXEC);
    watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET, NULL);
    for (;;) {
        struct epoll_event events[256];
        const int count = epoll_wait(poller, events, 256, -1);
        require(count >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < count; ++i) {
            struct connection* c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(poller, listener);
                continue;
            }
            if ((events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) c->ended = true;
            // A fresh socket's first event may say EPOLLOUT alone.
            const bool due = (events[i].events & ~(uint32_t)EPOLLOUT) != 0 || c->unsent != NULL;
            if (due && !echo(c)) drop(c);
        }
    }
}
