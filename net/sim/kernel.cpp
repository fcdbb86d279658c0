#include <cove/net/sim/kernel.hpp>

#include <cove/net/sim/detail/call_guard.hpp>
#include <cove/net/sim/detail/socket_options.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <type_traits>
#include <utility>

namespace cove::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t billion = 1'000'000'000;
__extension__ using wide = __int128;

// An edge that makes up for a lie of ours comes this soon.
constexpr duration makes_up_within = 1ms;

// The end of time is as far as a clock goes.
duration clamped(wide nanoseconds) noexcept {
    constexpr wide most = duration::max().count(), least = duration::min().count();
    return duration(static_cast<duration::rep>(std::clamp(nanoseconds, least, most)));
}

}  // namespace

kernel::kernel(detail::universe& all, detail::network& wires, detail::machine& at,
               std::vector<detail::endpoint> addresses) noexcept
    : all_(all), machine_(at), tcp_(all, wires, at, std::move(addresses)), random_(all.choices.next()) {}

kernel::~kernel() { lose_power(); }

time_point kernel::host_clock::read(time_point world) const noexcept {
    const auto passed = static_cast<wide>(world.time_since_epoch().count());
    return time_point(clamped(passed + offset.count() + passed * drift_ppb / billion));
}

// Rounded up: when so much of the world's time has passed, the host's clock shows at least the length.
duration kernel::host_clock::to_world(duration length) const noexcept {
    if (drift_ppb == 0) return length;
    return clamped(static_cast<wide>(length.count()) * billion / (billion + drift_ppb) + 2);
}

void kernel::jump_clock(duration by) noexcept {
    clock_.offset = clamped(static_cast<wide>(clock_.offset.count()) + by.count());
}

void kernel::set_clock(duration offset, std::int64_t drift_ppb) noexcept {
    clock_.offset = offset;
    clock_.drift_ppb = drift_ppb;
}

int kernel::install(std::shared_ptr<detail::file> opened) {
    if (files_.empty()) files_.resize(first_descriptor);
    auto place = std::find(files_.begin() + first_descriptor, files_.end(), nullptr);
    if (place == files_.end()) place = files_.emplace(place);
    *place = std::move(opened);
    ++open_;
    return static_cast<int>(place - files_.begin());
}

// What calls that make something run out of: 0 or -errno.
int kernel::exhausted(bool with_buffers) noexcept {
    if (!has_room() || strikes(fault::no_descriptor)) return -EMFILE;
    if (strikes(fault::no_file)) return -ENFILE;
    if (with_buffers && strikes(fault::no_buffers)) return -ENOBUFS;
    if (strikes(fault::no_memory)) return -ENOMEM;
    return 0;
}

// After an EAGAIN that was a lie, and after a transfer that was cut short: Linux would only do so where an edge follows.
void kernel::tell_again(const std::shared_ptr<detail::file>& file, std::uint32_t bits) {
    all_.after(all_.choices.between(1us, makes_up_within), [weak = std::weak_ptr(file), bits] {
        if (const auto still_there = weak.lock()) still_there->changed(bits);
    });
}

int kernel::socket(int family, int type, int protocol) noexcept {
    const detail::call_guard guard(all_, machine_, call::socket);
    if (guard.error() != 0) return -guard.error();
    if (family != AF_INET && family != AF_INET6) return -EAFNOSUPPORT;
    if (type < 0 || type > SOCK_PACKET) return -EINVAL;
    if (type != SOCK_STREAM) return -ESOCKTNOSUPPORT;
    if (protocol != 0 && protocol != IPPROTO_TCP) return -EPROTONOSUPPORT;
    if (const int none_left = exhausted(true); none_left < 0) return none_left;
    return install(tcp_.make_socket(family));
}

int kernel::bind(int fd, const sockaddr* address, unsigned size) noexcept {
    const detail::call_guard guard(all_, machine_, call::bind);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() != 0) return -guard.error();
    detail::endpoint where;
    if (const int read = detail::read_endpoint(socket->family(), address, size, where); read < 0) return read;
    return socket->bind(where);
}

int kernel::listen(int fd, int backlog) noexcept {
    const detail::call_guard guard(all_, machine_, call::listen);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    return guard.error() != 0 ? -guard.error() : socket->listen(backlog);
}

int kernel::accept(int fd) noexcept {
    const detail::call_guard guard(all_, machine_, call::accept);
    int error = 0;
    const auto listener = find<detail::tcp_socket>(fd, error);
    if (listener == nullptr) return error;
    int injected = guard.error();
    if (injected == 0 && (listener->ready_for() & event_in) != 0) {
        if (strikes(fault::would_block)) injected = EAGAIN;
        if (strikes(fault::interrupted)) injected = EINTR;
        if (strikes(fault::connection_aborted)) injected = ECONNABORTED;
    }
    if (injected != 0) return accept_injected(*listener, listener, injected);
    if (const int none_left = exhausted(true); none_left < 0) return none_left;
    std::shared_ptr<detail::tcp_socket> accepted;
    const int result = listener->accept(accepted);
    return result < 0 ? result : install(std::move(accepted));
}

int kernel::accept_injected(detail::tcp_socket& listener, const std::shared_ptr<detail::file>& file, int error) {
    switch (error) {
        case EAGAIN: tell_again(file, event_in); break;
        case EINTR:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: break;
        default: listener.drop_accepted(); break;  // an error of the connection that it would have given
    }
    return -error;
}

int kernel::connect(int fd, const sockaddr* address, unsigned size) noexcept {
    const detail::call_guard guard(all_, machine_, call::connect);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    const int injected = guard.error();
    if (injected != 0 && injected != EINTR) return -injected;
    detail::endpoint to;
    if (const int read = detail::read_endpoint(socket->family(), address, size, to); read < 0) return read;
    const int begun = socket->connect(to);
    // Interrupted, it goes on all the same.
    return begun == -EINPROGRESS && (injected == EINTR || strikes(fault::interrupted)) ? -EINTR : begun;
}

int kernel::shutdown(int fd, int how) noexcept {
    const detail::call_guard guard(all_, machine_, call::shutdown);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() != 0) socket->abort(ECONNRESET);
    return socket->shutdown(how);
}

int kernel::local_address(int fd, sockaddr* address, unsigned* size) noexcept {
    const detail::call_guard guard(all_, machine_, call::local_address);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() != 0) return -guard.error();
    return detail::write_endpoint(socket->family(), socket->local(), address, size);
}

int kernel::peer_address(int fd, sockaddr* address, unsigned* size) noexcept {
    const detail::call_guard guard(all_, machine_, call::peer_address);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() == ENOTCONN) socket->abort(ECONNRESET);
    if (guard.error() != 0) return -guard.error();
    detail::endpoint peer;
    if (const int asked = socket->peer_address(peer); asked < 0) return asked;
    return detail::write_endpoint(socket->family(), peer, address, size);
}

// The error is made true: after ECONNRESET the connection is reset.
long kernel::transfer_injected(const std::shared_ptr<detail::tcp_socket>& socket, std::uint32_t direction, int error) {
    if (error == EAGAIN) tell_again(socket, direction);
    if (error == ECONNRESET || error == ETIMEDOUT || error == EPIPE) {
        socket->abort(error);
        socket->take_error();
    }
    return -error;
}

int kernel::set_option(int fd, int level, int name, const void* value, unsigned size) noexcept {
    const detail::call_guard guard(all_, machine_, call::set_option);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    return guard.error() != 0 ? -guard.error() : detail::set_option(*socket, level, name, value, size);
}

int kernel::get_option(int fd, int level, int name, void* value, unsigned* size) noexcept {
    const detail::call_guard guard(all_, machine_, call::get_option);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    return guard.error() != 0 ? -guard.error() : detail::get_option(*socket, level, name, value, size);
}

long kernel::receive(int fd, void* data, std::size_t size) noexcept {
    const detail::call_guard guard(all_, machine_, call::receive);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    return receive_part(socket, guard.error(), static_cast<char*>(data), size);
}

long kernel::receive_part(const std::shared_ptr<detail::tcp_socket>& socket, int injected, char* data,
                          std::size_t size) {
    if (injected == 0 && socket->has_received()) {
        if (strikes(fault::would_block)) injected = EAGAIN;
        if (strikes(fault::interrupted)) injected = EINTR;
    }
    if (injected != 0) return transfer_injected(socket, event_in, injected);
    if (size > 1 && socket->has_received() && strikes(fault::short_read)) {
        size = all_.choices.between(1, std::min<std::size_t>(size - 1, 64));
        tell_again(socket, event_in);
    }
    return socket->receive(data, size);
}

long kernel::send(int fd, const void* data, std::size_t size) noexcept {
    const detail::call_guard guard(all_, machine_, call::send);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() != 0) return transfer_injected(socket, event_out, guard.error());
    return send_part(*socket, socket, {static_cast<const char*>(data), size});
}

long kernel::send_message(int fd, const msghdr& message) noexcept {
    const detail::call_guard guard(all_, machine_, call::send_message);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (guard.error() != 0) return transfer_injected(socket, event_out, guard.error());
    if (message.msg_iovlen > IOV_MAX) return -EMSGSIZE;
    if (message.msg_iovlen == 0) return socket->send({});
    long sent = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const iovec& part = message.msg_iov[i];
        if (part.iov_len == 0 && i + 1 < message.msg_iovlen) continue;
        const long count = send_part(*socket, socket, {static_cast<const char*>(part.iov_base), part.iov_len});
        if (count < 0) return sent > 0 ? sent : count;
        sent += count;
        if (static_cast<std::size_t>(count) < part.iov_len) break;
    }
    return sent;
}

long kernel::send_part(detail::tcp_socket& socket, const std::shared_ptr<detail::file>& file, std::string_view data) {
    if (socket.is_connected() && !data.empty()) {
        if (strikes(fault::would_block)) {
            tell_again(file, event_out);
            return -EAGAIN;
        }
        if (strikes(fault::interrupted)) return -EINTR;
        if (strikes(fault::no_buffers)) return -ENOBUFS;
        if (strikes(fault::no_memory)) return -ENOMEM;
        if (data.size() > 1 && strikes(fault::short_write)) {
            data = data.substr(0, all_.choices.between(1, std::min<std::size_t>(data.size() - 1, 64)));
            tell_again(file, event_out);
        }
    }
    return socket.send(data);
}

// The descriptor is free again, whatever it answers.
int kernel::close(int fd) noexcept {
    const detail::call_guard guard(all_, machine_, call::close);
    int error = 0;
    const auto closed = find<detail::file>(fd, error);
    if (closed == nullptr) return error;
    files_[static_cast<std::size_t>(fd)] = nullptr;
    --open_;
    std::erase(pollers_, dynamic_cast<const detail::poller*>(closed.get()));
    closed->forget_interests();
    closed->close();
    return -guard.error();
}

}  // namespace cove::sim
