// Chat server on libuv: chat PORT

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { line_max = 1024, unsent_max = 1024 * 1024, batch_max = 64 };

typedef struct member {
    uv_tcp_t tcp;  // first, so that a pointer to it is one to the whole
    struct member *next, **link;
    size_t size;  // of the unfinished line in the buffer
    char buffer[16 * 1024];
} member;

typedef struct {  // lines that some could not be sent at once, shared by them
    size_t users;
    char data[];
} message;

static member* members;

static void on_closed(uv_handle_t* handle) {
    member* gone = (member*)handle;
    if (gone->next) gone->next->link = gone->link;
    *gone->link = gone->next;
    free(gone);
}

static void hang_up(member* peer) {
    if (!uv_is_closing((uv_handle_t*)peer)) uv_close((uv_handle_t*)peer, on_closed);
}

static void release(message* lines) {
    if (lines && --lines->users == 0) free(lines);
}

static void on_written(uv_write_t* request, int status) {
    if (status < 0) hang_up((member*)request->handle);
    release(request->data);
    free(request);
}

static message* share(const uv_buf_t* lines, unsigned count, size_t size) {
    message* copy = malloc(sizeof *copy + size);
    if (!copy) abort();
    copy->users = 1;
    char* end = copy->data;
    for (unsigned i = 0; i < count; end += lines[i++].len) memcpy(end, lines[i].base, lines[i].len);
    return copy;
}

static void queue(member* to, message* lines, size_t begin, size_t size) {
    uv_write_t* request = malloc(sizeof *request);
    if (!request) abort();
    uv_buf_t rest = uv_buf_init(lines->data + begin, (unsigned)(size - begin));
    request->data = lines;
    ++lines->users;
    if (uv_write(request, (uv_stream_t*)to, &rest, 1, on_written) < 0) {
        hang_up(to);
        release(lines);
        free(request);
    } else if (uv_stream_get_write_queue_size((uv_stream_t*)to) > unsent_max) {
        hang_up(to);
    }
}

static void broadcast(const uv_buf_t* lines, unsigned count) {
    size_t size = 0;
    for (unsigned i = 0; i < count; ++i) size += lines[i].len;
    message* copy = NULL;  // made only if someone cannot take everything at once
    for (member* to = members; to; to = to->next) {
        if (uv_is_closing((uv_handle_t*)to)) continue;
        int sent = uv_try_write((uv_stream_t*)to, lines, count);  // UV_EAGAIN also while earlier lines are queued
        if (sent == (int)size) continue;
        if (sent < 0 && sent != UV_EAGAIN) {
            hang_up(to);
            continue;
        }
        if (!copy) copy = share(lines, count, size);
        queue(to, copy, sent > 0 ? (size_t)sent : 0, size);
    }
    release(copy);
}

static void lend_buffer(uv_handle_t* handle, size_t suggested, uv_buf_t* lent) {
    (void)suggested;
    member* from = (member*)handle;
    *lent = uv_buf_init(from->buffer + from->size, (unsigned)(sizeof from->buffer - from->size));
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* data) {
    (void)data;
    member* from = (member*)stream;
    if (size < 0) {
        hang_up(from);
        return;
    }
    uv_buf_t lines[batch_max];
    unsigned count = 0;
    char *begin = from->buffer, *limit = begin + from->size + size, *end;
    for (; (end = memchr(begin, '\n', (size_t)(limit - begin))) && end - begin <= line_max; begin = end + 1) {
        lines[count++] = uv_buf_init(begin, (unsigned)(end + 1 - begin));
        if (count < batch_max) continue;
        broadcast(lines, count);
        count = 0;
    }
    if (count > 0) broadcast(lines, count);
    if (limit - begin > line_max) {
        hang_up(from);
        return;
    }
    from->size = (size_t)(limit - begin);
    memmove(from->buffer, begin, from->size);
}

static void on_connection(uv_stream_t* listener, int status) {
    if (status < 0) return;
    member* peer = malloc(sizeof *peer);
    if (!peer) return;
    peer->size = 0;
    peer->next = members;
    peer->link = &members;
    if (members) members->link = &peer->next;
    members = peer;
    uv_tcp_init(listener->loop, &peer->tcp);
    if (uv_accept(listener, (uv_stream_t*)peer) < 0 || uv_tcp_nodelay(&peer->tcp, 1) < 0 ||
        uv_read_start((uv_stream_t*)peer, lend_buffer, on_read) < 0)
        hang_up(peer);
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
