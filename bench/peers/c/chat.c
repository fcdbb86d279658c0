// Broadcast chat, edge-triggered, by hand and straightforward: ./chat PORT. Each line is sent to every member at once; what a slow
// one does not take is kept until EPOLLOUT, up to UNSENT_MAX, beyond which the member is disconnected.

#include "server.h"

enum { LINE_MAX_BYTES = 1024, UNSENT_MAX = 1024 * 1024, READ_BYTES = 16 * 1024 };

struct member {
    int fd;
    char* line;  // what of a line has come; NULL: nothing
    size_t line_size;
    char* unsent;
    size_t sent, size, capacity;
    bool ended;   // the end of the stream, or an error, was announced: a short read is not the last
    bool failed;  // is to be dropped when nobody looks at the members
};

static struct member** members;
static size_t member_count, members_capacity;
static char buffer[READ_BYTES];

static void keep(struct member* m, const char* data, size_t size) {
    if (m->size - m->sent + size > UNSENT_MAX) {
        m->failed = true;
        return;
    }
    if (m->sent > 0) {
        memmove(m->unsent, m->unsent + m->sent, m->size - m->sent);
        m->size -= m->sent;
        m->sent = 0;
    }
    if (m->size + size > m->capacity) {
        m->capacity = m->size + size > 2 * m->capacity ? m->size + size : 2 * m->capacity;
        m->unsent = realloc(m->unsent, m->capacity);
        require(m->unsent != NULL, "realloc");
    }
    memcpy(m->unsent + m->size, data, size);
    m->size += size;
}

static void tell(struct member* m, const char* data, size_t size) {
    if (m->failed) return;
    if (m->size == 0) {
        const ssize_t n = send(m->fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            m->failed = true;
            return;
        }
        if (n == (ssize_t)size) return;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    keep(m, data, size);
}

static void tell_all(const char* line, size_t size) {
    for (size_t i = 0; i < member_count; ++i) tell(members[i], line, size);
}

static void flush(struct member* m) {
    while (m->sent < m->size) {
        const ssize_t n = send(m->fd, m->unsent + m->sent, m->size - m->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            m->failed |= errno != EAGAIN;
            return;
        }
        m->sent += (size_t)n;
    }
    free(m->unsent);
    m->unsent = NULL;
    m->sent = m->size = m->capacity = 0;
}

// Tells the whole lines among the bytes and keeps what is left.
static void take(struct member* m, const char* data, size_t size) {
    while (size > 0 && !m->failed) {
        const char* end = memchr(data, '\n', size);
        const size_t part = end != NULL ? (size_t)(end - data) + 1 : size;
        if (m->line_size + part > LINE_MAX_BYTES) {
            m->failed = true;
            return;
        }
        if (end != NULL && m->line_size == 0) {
            tell_all(data, part);
        } else {
            if (m->line == NULL) m->line = allocate(LINE_MAX_BYTES);
            memcpy(m->line + m->line_size, data, part);
            m->line_size += part;
            if (end != NULL) {
                tell_all(m->line, m->line_size);
                m->line_size = 0;
            }
        }
        data += part;
        size -= part;
    }
}

static void listen_to(struct member* m) {
    while (!m->failed) {
        const ssize_t n = recv(m->fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            m->failed = true;
            return;
        }
        take(m, buffer, (size_t)n);
        if (n < (ssize_t)sizeof buffer && !m->ended) return;
    }
}

static void enter(int poller, int fd) {
    if (member_count == members_capacity) {
        members_capacity = members_capacity == 0 ? 64 : 2 * members_capacity;
        members = realloc(members, members_capacity * sizeof *members);
        require(members != NULL, "realloc");
    }
    struct member* m = allocate(sizeof *m);
    m->fd = fd;
    members[member_count++] = m;
    watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, m);
}

static void drop_failed(void) {
    for (size_t i = 0; i < member_count;) {
        struct member* m = members[i];
        if (!m->failed) {
            ++i;
            continue;
        }
        members[i] = members[--member_count];
        close(m->fd);
        free(m->line);
        free(m->unsent);
        free(m);
    }
}

int main(int argc, char** argv) {
    require(argc == 2, "usage: chat PORT");
    const int listener = listen_on(argv[1]), poller = epoll_create1(EPOLL_CLOEXEC);
    watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET, NULL);
    for (;;) {
        struct epoll_event events[256];
        const int count = epoll_wait(poller, events, 256, -1);
        require(count >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < count; ++i) {
            struct member* m = events[i].data.ptr;
            const uint32_t bits = events[i].events;
            if (m == NULL) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) enter(poller, fd);
                continue;
            }
            if ((bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) m->ended = true;
            if (m->size > 0) flush(m);
            if ((bits & ~(uint32_t)EPOLLOUT) != 0) listen_to(m);
        }
        drop_failed();
    }
}
