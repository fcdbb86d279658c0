// Echo server on libevent's bufferevents: echo PORT

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>

enum { unsent_max = 16 * 1024 };

static void on_read(struct bufferevent* peer, void* context) {
    (void)context;
    struct evbuffer* output = bufferevent_get_output(peer);
    evbuffer_add_buffer(output, bufferevent_get_input(peer));                           // moves, without copying
    if (evbuffer_get_length(output) >= unsent_max) bufferevent_disable(peer, EV_READ);  // until it has been sent
}

static void on_sent(struct bufferevent* peer, void* context) {
    (void)context;
    if (!(bufferevent_get_enabled(peer) & EV_READ)) bufferevent_enable(peer, EV_READ);
}

static void on_last_sent(struct bufferevent* peer, void* context) {
    (void)context;
    bufferevent_free(peer);
}

static void on_event(struct bufferevent* peer, short what, void* context) {
    if ((what & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(peer)) > 0)
        bufferevent_setcb(peer, NULL, on_last_sent, on_event, context);
    else
        bufferevent_free(peer);
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* address, int length,
                      void* base) {
    (void)listener, (void)address, (void)length;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct bufferevent* peer = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!peer) {
        evutil_closesocket(fd);
        return;
    }
    bufferevent_setcb(peer, on_read, on_sent, on_event, NULL);
    bufferevent_enable(peer, EV_READ);
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
