// Echo server on libuv: echo PORT

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

typedef struct {
    uv_write_t request;  // first, so that a pointer to it is one to the whole
    char data[];
} unsent;

static char buffer[16 * 1024];  // for all: what is read and cannot be sent at once is copied

static void lend_buffer(uv_handle_t* peer, size_t suggested, uv_buf_t* lent) {
    (void)peer, (void)suggested;
    *lent = uv_buf_init(buffer, sizeof buffer);
}

static void hang_up(uv_stream_t* peer) {
    if (!uv_is_closing((uv_handle_t*)peer)) uv_close((uv_handle_t*)peer, (uv_close_cb)free);
}

static void on_read(uv_stream_t* peer, ssize_t size, const uv_buf_t* data);

static void on_written(uv_write_t* request, int status) {
    uv_stream_t* peer = request->handle;
    free(request);
    if (status < 0 || uv_read_start(peer, lend_buffer, on_read) < 0) hang_up(peer);
}

// Stops reading until what could not be sent at once has been sent.
static void send_later(uv_stream_t* peer, const char* data, size_t size) {
    uv_read_stop(peer);
    unsent* rest = malloc(sizeof *rest + size);
    if (!rest) abort();
    memcpy(rest->data, data, size);
    uv_buf_t echo = uv_buf_init(rest->data, (unsigned)size);
    if (uv_write(&rest->request, peer, &echo, 1, on_written) < 0) {
        free(rest);
        hang_up(peer);
    }
}

static void on_read(uv_stream_t* peer, ssize_t size, const uv_buf_t* data) {
    if (size == 0) return;  // nothing there after all
    uv_buf_t echo = uv_buf_init(data->base, (unsigned)size);
    int sent = size < 0 ? (int)size : uv_try_write(peer, &echo, 1);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0)
        hang_up(peer);
    else if (sent < size)
        send_later(peer, data->base + sent, (size_t)(size - sent));
}

static void on_connection(uv_stream_t* listener, int status) {
    if (status < 0) return;
    uv_tcp_t* peer = malloc(sizeof *peer);
    if (!peer) return;
    uv_tcp_init(listener->loop, peer);
    if (uv_accept(listener, (uv_stream_t*)peer) < 0 || uv_tcp_nodelay(peer, 1) < 0 ||
        uv_read_start((uv_stream_t*)peer, lend_buffer, on_read) < 0)
        hang_up((uv_stream_t*)peer);
}

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t* loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", atoi(argv[argc - 1]), &address);
    uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr*)&address, 0) < 0) return 1;  // sets SO_REUSEADDR
    if (uv_listen((uv_stream_t*)&listener, 4096, on_connection) < 0) return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
