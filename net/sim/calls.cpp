#include <cove/net/sim/calls.hpp>

#include <cerrno>

namespace cove::sim {
namespace {

constexpr int of_socket[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT};
constexpr int of_bind[] = {EACCES, EADDRINUSE, EADDRNOTAVAIL, ENOMEM};
constexpr int of_listen[] = {EADDRINUSE};
constexpr int of_accept[] = {EAGAIN, ECONNABORTED, EINTR,  EMFILE,   ENFILE,       ENOBUFS,
                             ENOMEM, EPERM,        EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH};
constexpr int of_connect[] = {EACCES,       EPERM, EADDRINUSE,  EADDRNOTAVAIL, EAGAIN,
                              ECONNREFUSED, EINTR, ENETUNREACH, ETIMEDOUT};
constexpr int of_shutdown[] = {ENOTCONN};
constexpr int of_local_address[] = {ENOBUFS};
constexpr int of_peer_address[] = {ENOBUFS, ENOTCONN};
constexpr int of_set_option[] = {EINVAL, ENOBUFS, ENOMEM};
constexpr int of_get_option[] = {ENOBUFS, ENOMEM};
constexpr int of_receive[] = {EAGAIN, EINTR, ENOMEM, ECONNRESET, ETIMEDOUT};
constexpr int of_send[] = {EAGAIN, EINTR, ENOBUFS, ENOMEM, ECONNRESET, EPIPE, ETIMEDOUT};
constexpr int of_create_pipe[] = {EMFILE, ENFILE};
constexpr int of_send_file[] = {EAGAIN, EINTR, EIO, ENOBUFS, ENOMEM, ECONNRESET, EPIPE, ETIMEDOUT};
constexpr int of_close[] = {EINTR, EIO};
constexpr int of_create_poller[] = {EMFILE, ENFILE, ENOMEM};
constexpr int of_control[] = {ENOMEM, ENOSPC};
constexpr int of_wait[] = {EINTR};
constexpr int of_create_event[] = {EMFILE, ENFILE, ENODEV, ENOMEM};
constexpr int of_subscribe[] = {EMFILE};

}  // namespace

const char* name_of(call what) noexcept {
    switch (what) {
        case call::socket: return "socket";
        case call::bind: return "bind";
        case call::listen: return "listen";
        case call::accept: return "accept";
        case call::connect: return "connect";
        case call::shutdown: return "shutdown";
        case call::local_address: return "local_address";
        case call::peer_address: return "peer_address";
        case call::set_option: return "set_option";
        case call::get_option: return "get_option";
        case call::receive: return "receive";
        case call::send: return "send";
        case call::send_message: return "send_message";
        case call::create_pipe: return "create_pipe";
        case call::receive_to_pipe: return "receive_to_pipe";
        case call::send_from_pipe: return "send_from_pipe";
        case call::send_file: return "send_file";
        case call::close: return "close";
        case call::create_poller: return "create_poller";
        case call::control: return "control";
        case call::wait: return "wait";
        case call::create_event: return "create_event";
        case call::subscribe: return "subscribe";
    }
    return "?";
}

std::span<const int> errors_of(call what) noexcept {
    switch (what) {
        case call::socket: return of_socket;
        case call::bind: return of_bind;
        case call::listen: return of_listen;
        case call::accept: return of_accept;
        case call::connect: return of_connect;
        case call::shutdown: return of_shutdown;
        case call::local_address: return of_local_address;
        case call::peer_address: return of_peer_address;
        case call::set_option: return of_set_option;
        case call::get_option: return of_get_option;
        case call::receive:
        case call::receive_to_pipe: return of_receive;
        case call::send:
        case call::send_message:
        case call::send_from_pipe: return of_send;
        case call::create_pipe: return of_create_pipe;
        case call::send_file: return of_send_file;
        case call::close: return of_close;
        case call::create_poller: return of_create_poller;
        case call::control: return of_control;
        case call::wait: return of_wait;
        case call::create_event: return of_create_event;
        case call::subscribe: return of_subscribe;
    }
    return {};
}

}  // namespace cove::sim
