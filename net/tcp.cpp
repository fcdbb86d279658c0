#include <cove/net/tcp.hpp>

#include <cove/net/detail/socket_attempt.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/timeout.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace cove {
namespace {

void checked(long result, const char* operation, const std::string& subject) {
    if (result < 0) detail::throw_error(detail::to_error_code(result), operation, subject);
}

void checked_on(const descriptor& socket, long result, const char* operation) {
    if (result >= 0) return;
    const address peer = detail::peer_address_of(socket.os(), socket.number());
    checked(result, operation, peer.size() > 0 ? peer.to_string() : std::string());
}

template <class Value>
int set(const descriptor& socket, int level, int name, const Value& value) noexcept {
    return socket.os().set_option(socket.number(), level, name, &value, sizeof value);
}

template <class Value>
void set_checked(const descriptor& socket, int level, int name, const Value& value, const char* operation) {
    checked_on(socket, socket.is_open() ? set(socket, level, name, value) : detail::raw(errc::closed), operation);
}

// What accept(2) reports of a connection that is gone already, or of the network it came from: the next one may be well.
bool concerns_one_connection(long error) noexcept {
    switch (-error) {
        case ECONNABORTED:
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH: return true;
        default: return false;
    }
}

task<> drain(tcp_stream& stream) {
    constexpr std::size_t drained_max = 1024 * 1024;
    std::size_t drained = 0;
    while (drained < drained_max) {
        const auto received = co_await as_result(stream.receive());
        if (!received || !*received) co_return;
        drained += received->size();
    }
}

}  // namespace

detail::connect_operation tcp_stream::connect(const address& peer) noexcept { return detail::connect_operation(peer); }
detail::connect_operation tcp_stream::connect(std::string_view peer) { return connect(address::parse(peer)); }

void tcp_stream::shutdown_write() {
    checked_on(socket_, is_open() ? socket_.os().shutdown(socket_.number(), SHUT_WR) : detail::raw(errc::closed),
               "shutdown");
}

task<> tcp_stream::close_gracefully(duration patience) {
    struct close_at_end {
        descriptor& socket;
        ~close_at_end() { socket.close(); }
    } const guard{socket_};
    if (!is_open() || socket_.os().shutdown(socket_.number(), SHUT_WR) < 0) co_return;
    co_await move_on_after(patience, drain(*this));
}

void tcp_stream::set_nodelay(bool on) { set_checked(socket_, IPPROTO_TCP, TCP_NODELAY, int{on}, "set_nodelay"); }

void tcp_stream::set_keep_alive(bool on, std::chrono::seconds idle, std::chrono::seconds interval, int probes_max) {
    set_checked(socket_, SOL_SOCKET, SO_KEEPALIVE, int{on}, "set_keep_alive");
    if (!on) return;
    set_checked(socket_, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle.count()), "set_keep_alive");
    set_checked(socket_, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(interval.count()), "set_keep_alive");
    set_checked(socket_, IPPROTO_TCP, TCP_KEEPCNT, probes_max, "set_keep_alive");
}

void tcp_stream::set_linger(std::chrono::seconds limit) {
    const linger value{limit.count() >= 0, static_cast<int>(limit.count())};
    set_checked(socket_, SOL_SOCKET, SO_LINGER, value, "set_linger");
}

void tcp_stream::set_unsent_max(std::size_t size_bytes) {
    set_checked(socket_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<unsigned>(size_bytes), "set_unsent_max");
    socket_.expect_room();
}

void tcp_stream::set_receive_buffer(std::size_t size_bytes) {
    set_checked(socket_, SOL_SOCKET, SO_RCVBUF, static_cast<int>(size_bytes), "set_receive_buffer");
}

void tcp_stream::set_send_buffer(std::size_t size_bytes) {
    set_checked(socket_, SOL_SOCKET, SO_SNDBUF, static_cast<int>(size_bytes), "set_send_buffer");
    socket_.expect_room();
}

address tcp_stream::local_address() const noexcept { return detail::local_address_of(socket_.os(), socket_.number()); }
address tcp_stream::peer_address() const noexcept { return detail::peer_address_of(socket_.os(), socket_.number()); }

tcp_listener tcp_listener::bind(std::string_view where, const listen_options& options) {
    return bind(address::parse(where), options);
}

tcp_listener tcp_listener::bind(const address& where, const listen_options& options) {
    kernel& os = kernel::current();
    const int fd = os.socket(where.family(), SOCK_STREAM, 0);
    if (fd == -EAFNOSUPPORT && where.family() == AF_INET6 && where.is_any())
        return bind(address::parse("0.0.0.0:0").with_port(where.port()), options);
    const std::string subject = where.to_string();
    checked(fd, "socket for", subject);
    descriptor socket(fd, os);
    if (options.reuse_address) checked(set(socket, SOL_SOCKET, SO_REUSEADDR, 1), "reuse_address for", subject);
    if (options.reuse_port) checked(set(socket, SOL_SOCKET, SO_REUSEPORT, 1), "reuse_port for", subject);
    if (options.nodelay) checked(set(socket, IPPROTO_TCP, TCP_NODELAY, 1), "nodelay for", subject);
    if (where.family() == AF_INET6)
        checked(set(socket, IPPROTO_IPV6, IPV6_V6ONLY, int{!options.dual_stack}), "dual_stack for", subject);
    checked(os.bind(fd, where.data(), where.size()), "bind", subject);
    checked(os.listen(fd, options.backlog), "listen", subject);
    return tcp_listener(std::move(socket));
}

detail::accept_operation tcp_listener::accept() noexcept { return detail::accept_operation(socket_); }
address tcp_listener::local_address() const noexcept {
    return detail::local_address_of(socket_.os(), socket_.number());
}

namespace detail {

// connect(2) is called once. EINPROGRESS, or EINTR, which leaves the connection going on all the same, means that the
// socket becomes writable when there is something to know; then SO_ERROR says what.
bool connect_operation::begin(promise_base& frame) {
    if (!may_wait(frame)) return false;
    kernel& os = kernel::current();
    const int fd = os.socket(peer_.family(), SOCK_STREAM, 0);
    if (fd < 0) {
        set_outcome(fd);
        return false;
    }
    socket_ = descriptor(fd, os);
    const int nodelay = set(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
    long connected = nodelay < 0 ? nodelay : os.connect(fd, peer_.data(), peer_.size());
    // EAGAIN, out of routes, is a final answer here: no event will follow.
    if (connected == -EINPROGRESS || connected == -EINTR) return start_waiting(frame);
    bool drained = false;
    if (connected == 0) {
        connected = try_once(os, fd, drained);
        if (connected == -EAGAIN) return start_waiting(frame);
    }
    set_outcome(connected);
    return false;
}

long connect_operation::try_once(kernel& os, int fd, bool&) noexcept {
    int error = 0;
    unsigned size = sizeof error;
    const int asked = os.get_option(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (asked < 0) return asked;
    if (error != 0) return -error;
    // No error yet, and no peer either: the event told of a socket that is not connected (epoll reports EPOLLOUT and
    // EPOLLHUP for a fresh one).
    alignas(8) unsigned char bytes[128];
    unsigned named = sizeof bytes;
    auto* native = reinterpret_cast<sockaddr*>(bytes);
    const int has_peer = os.peer_address(fd, native, &named);
    if (has_peer < 0) return has_peer == -ENOTCONN ? -EAGAIN : has_peer;
    const address peer(native, named);
    // Connecting to a free port of the ephemeral range may by chance be given that very port as its own: TCP's
    // simultaneous open then connects the socket to itself. Nobody listens there, so it is refused.
    if (peer == local_address_of(os, fd)) return -ECONNREFUSED;
    return 0;
}

long accept_operation::try_once(kernel& os, int fd, bool&) noexcept {
    constexpr int passed_over_max = 64;
    for (int i = 0; i < passed_over_max; ++i) {
        const int accepted = os.accept(fd);
        if (!concerns_one_connection(accepted)) return accepted;
    }
    return again;
}

std::string accept_operation::subject() const {
    const address local = number() < 0 ? address() : local_address_of(kernel::current(), number());
    return local.size() > 0 ? local.to_string() : std::string();
}

template class socket_operation<connect_operation, tcp_stream>;
template class socket_operation<accept_operation, tcp_stream>;

}  // namespace detail
}  // namespace cove
