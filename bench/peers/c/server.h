// What the C servers share: a listening socket, and giving up.

#pragma once

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void require(bool holds, const char* what) {
    if (holds) return;
    perror(what);
    exit(1);
}

// Listens on 127.0.0.1; what it accepts inherits TCP_NODELAY.
static int listen_on(const char* port) {
    signal(SIGPIPE, SIG_IGN);
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    require(bind(fd, (struct sockaddr*)&where, sizeof where) == 0 && listen(fd, 4096) == 0, "listen");
    return fd;
}

static void* allocate(size_t size) {
    void* memory = calloc(1, size);
    require(memory != NULL, "calloc");
    return memory;
}

static void watch(int poller, int operation, int fd, uint32_t bits, void* data) {
    struct epoll_event event = {.events = bits, .data.ptr = data};
    require(epoll_ctl(poller, operation, fd, &event) == 0, "epoll_ctl");
}
