#include <cove/net/sim/detail/socket_options.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cove::sim::detail {
namespace {

// The kernel doubles what it is asked for, for its own needs, between these bounds. See socket(7).
constexpr std::size_t send_buffer_min = 4608;
constexpr std::size_t receive_buffer_min = 2304;
constexpr std::size_t buffer_max = 212992;  // net.core.wmem_max and rmem_max

std::size_t doubled(int asked, std::size_t least) noexcept {
    const auto size = std::min(static_cast<std::size_t>(static_cast<unsigned>(asked)), buffer_max);
    return std::max(size * 2, least);
}

int set_seconds(int& option, int value, int most) noexcept {
    if (value < 1 || value > most) return -EINVAL;
    option = value;
    return 0;
}

int set_socket_option(tcp_options& options, int name, int value) noexcept {
    switch (name) {
        case SO_REUSEADDR: options.reuse_address = value != 0; return 0;
        case SO_REUSEPORT: options.reuse_port = value != 0; return 0;
        case SO_KEEPALIVE: options.keep_alive = value != 0; return 0;
        case SO_SNDBUF: options.send_buffer = doubled(value, send_buffer_min); return 0;
        case SO_RCVBUF: options.receive_buffer = doubled(value, receive_buffer_min); return 0;
        default: return -ENOPROTOOPT;
    }
}

int set_tcp_option(tcp_options& options, int name, int value) noexcept {
    constexpr int seconds_max = 32767, probes_max = 127;
    switch (name) {
        case TCP_NODELAY: options.nodelay = value != 0; return 0;
        case TCP_NOTSENT_LOWAT: options.unsent_max = static_cast<std::uint32_t>(value); return 0;
        case TCP_USER_TIMEOUT:
            if (value < 0) return -EINVAL;
            options.user_timeout = value;
            return 0;
        case TCP_KEEPIDLE: return set_seconds(options.keep_alive_idle, value, seconds_max);
        case TCP_KEEPINTVL: return set_seconds(options.keep_alive_interval, value, seconds_max);
        case TCP_KEEPCNT: return set_seconds(options.keep_alive_probes, value, probes_max);
        default: return -ENOPROTOOPT;
    }
}

int give(const void* from, std::size_t from_bytes, void* value, unsigned* size) noexcept {
    if (static_cast<int>(*size) < 0) return -EINVAL;
    *size = std::min(*size, static_cast<unsigned>(from_bytes));
    std::memcpy(value, from, *size);
    return 0;
}

int give(int from, void* value, unsigned* size) noexcept { return give(&from, sizeof from, value, size); }

int get_socket_option(tcp_socket& socket, int name, void* value, unsigned* size) noexcept {
    const tcp_options& options = socket.options;
    switch (name) {
        case SO_ERROR: return give(socket.take_error(), value, size);
        case SO_TYPE: return give(SOCK_STREAM, value, size);
        case SO_DOMAIN: return give(socket.family(), value, size);
        case SO_PROTOCOL: return give(IPPROTO_TCP, value, size);
        case SO_ACCEPTCONN: return give(int{socket.is_listening()}, value, size);
        case SO_REUSEADDR: return give(int{options.reuse_address}, value, size);
        case SO_REUSEPORT: return give(int{options.reuse_port}, value, size);
        case SO_KEEPALIVE: return give(int{options.keep_alive}, value, size);
        case SO_SNDBUF: return give(static_cast<int>(options.send_buffer), value, size);
        case SO_RCVBUF: return give(static_cast<int>(options.receive_buffer), value, size);
        case SO_LINGER: {
            const linger set{options.linger >= 0, std::max(options.linger, 0)};
            return give(&set, sizeof set, value, size);
        }
        default: return -ENOPROTOOPT;
    }
}

int get_tcp_option(const tcp_options& options, int name, void* value, unsigned* size) noexcept {
    switch (name) {
        case TCP_NODELAY: return give(int{options.nodelay}, value, size);
        case TCP_NOTSENT_LOWAT: return give(static_cast<int>(options.unsent_max), value, size);
        case TCP_USER_TIMEOUT: return give(options.user_timeout, value, size);
        case TCP_KEEPIDLE: return give(options.keep_alive_idle, value, size);
        case TCP_KEEPINTVL: return give(options.keep_alive_interval, value, size);
        case TCP_KEEPCNT: return give(options.keep_alive_probes, value, size);
        default: return -ENOPROTOOPT;
    }
}

}  // namespace

int set_option(tcp_socket& socket, int level, int name, const void* value, unsigned size) noexcept {
    if (level == SOL_SOCKET && name == SO_LINGER) {
        linger asked{};
        if (size < sizeof asked) return -EINVAL;
        std::memcpy(&asked, value, sizeof asked);
        socket.options.linger = asked.l_onoff != 0 ? asked.l_linger : -1;
        return 0;
    }
    int number = 0;
    if (size < sizeof number) return -EINVAL;
    std::memcpy(&number, value, sizeof number);
    if (level == IPPROTO_IPV6 && socket.family() == AF_INET6 && name == IPV6_V6ONLY) {
        if (socket.is_bound()) return -EINVAL;
        socket.options.v6_only = number != 0;
        return 0;
    }
    if (level == SOL_SOCKET) {
        const int set = set_socket_option(socket.options, name, number);
        socket.watch_silence();
        return set;
    }
    if (level != IPPROTO_TCP) return -ENOPROTOOPT;
    const int set = set_tcp_option(socket.options, name, number);
    if (name == TCP_NOTSENT_LOWAT) socket.tell_of_room();
    return set;
}

int get_option(tcp_socket& socket, int level, int name, void* value, unsigned* size) noexcept {
    if (level == SOL_SOCKET) return get_socket_option(socket, name, value, size);
    if (level == IPPROTO_TCP) return get_tcp_option(socket.options, name, value, size);
    if (level == IPPROTO_IPV6 && socket.family() == AF_INET6 && name == IPV6_V6ONLY)
        return give(int{socket.options.v6_only}, value, size);
    return level == IPPROTO_IPV6 || level == IPPROTO_IP ? -ENOPROTOOPT : -EOPNOTSUPP;
}

}  // namespace cove::sim::detail
