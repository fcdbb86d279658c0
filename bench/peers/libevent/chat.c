// Chat server on libevent's bufferevents: chat PORT

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { line_max = 1024, unsent_max = 1024 * 1024 };

struct member {
    struct bufferevent* stream;
    LIST_ENTRY(member) entry;
};

static LIST_HEAD(, member) members = LIST_HEAD_INITIALIZER(members);

// Ends a member at the next turn of the loop, by on_event: not while the list is walked.
static void hang_up(struct member* member) {
    bufferevent_disable(member->stream, EV_READ | EV_WRITE);
    bufferevent_trigger_event(member->stream, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
}

static void broadcast(const char* line, size_t size) {
    struct member* to;
    LIST_FOREACH(to, &members, entry) {
        if (!(bufferevent_get_enabled(to->stream) & EV_READ)) continue;  // hung up
        bufferevent_write(to->stream, line, size);
        if (evbuffer_get_length(bufferevent_get_output(to->stream)) > unsent_max) hang_up(to);
    }
}

static void on_read(struct bufferevent* stream, void* member) {
    struct evbuffer* input = bufferevent_get_input(stream);
    struct evbuffer_ptr end;
    while ((end = evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF)).pos >= 0 && end.pos <= line_max) {
        char line[line_max + 1];
        size_t size = (size_t)end.pos + 1;
        evbuffer_remove(input, line, size);
        broadcast(line, size);
    }
    if (end.pos >= 0 || evbuffer_get_length(input) > line_max) hang_up(member);
}

static void on_event(struct bufferevent* stream, short what, void* context) {
    (void)what;
    struct member* gone = context;
    LIST_REMOVE(gone, entry);
    bufferevent_free(stream);
    free(gone);
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* address, int length,
                      void* base) {
    (void)listener, (void)address, (void)length;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct member* member = malloc(sizeof *member);
    if (!member || !(member->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE))) {
        free(member);
        evutil_closesocket(fd);
        return;
    }
    LIST_INSERT_HEAD(&members, member, entry);
    bufferevent_setcb(member->stream, on_read, NULL, on_event, member);
    bufferevent_enable(member->stream, EV_READ);
}

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    struct event_base* base = event_base_new();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[argc - 1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!evconnlistener_new_bind(base, on_accept, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
                                 (struct sockaddr*)&address, sizeof address))
        return 1;
    return event_base_dispatch(base);
}
