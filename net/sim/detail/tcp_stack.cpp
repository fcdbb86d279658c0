#include <cove/net/sim/detail/tcp_stack.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace cove::sim::detail {
namespace {

constexpr std::uint16_t ephemeral_first = 32768;  // net.ipv4.ip_local_port_range
constexpr std::uint64_t ephemeral_count = 60999 - 32768 + 1;
constexpr endpoint loopback_v4{0, 0xffff'7f00'0001, 0};
constexpr endpoint loopback_v6{0, 1, 0};

// Whether a socket that is bound there receives what is sent to an IPv4, or IPv6, address of the host.
bool hears(const tcp_socket& socket, const endpoint& where, bool v4) noexcept {
    if (v4) return where.is_v4() || (where.is_any() && socket.family() == AF_INET6 && !socket.options.v6_only);
    return !where.is_v4();
}

bool overlap(const tcp_socket& one, const endpoint& one_at, const tcp_socket& other,
             const endpoint& other_at) noexcept {
    if (one_at.is_any() && other_at.is_any())
        return (hears(one, one_at, true) && hears(other, other_at, true)) ||
               (hears(one, one_at, false) && hears(other, other_at, false));
    if (one_at.is_any()) return hears(one, one_at, other_at.is_v4());
    if (other_at.is_any()) return hears(other, other_at, one_at.is_v4());
    return one_at.same_host(other_at);
}

}  // namespace

tcp_stack::tcp_stack(universe& all, network& wires, detail::machine& at, std::vector<endpoint> addresses)
    : station(at),
      all_(all),
      wires_(wires),
      addresses_(std::move(addresses)),
      next_ephemeral_(all.choices.below(ephemeral_count)) {
    for (const endpoint& each : addresses_) wires_.connect_station(each, *this);
}

std::shared_ptr<tcp_socket> tcp_stack::make_socket(int family) {
    return std::make_shared<tcp_socket>(*this, family, defaults);
}

bool tcp_stack::is_own(const endpoint& address) const noexcept {
    return address.is_loopback() || std::any_of(addresses_.begin(), addresses_.end(),
                                                [&](const endpoint& own) { return own.same_host(address); });
}

bool tcp_stack::conflicts(const tcp_socket& socket, const endpoint& where) const noexcept {
    const auto excludes = [&](const tcp_socket& other, const endpoint& other_at) {
        if (&other == &socket || !overlap(socket, where, other, other_at)) return false;
        if (socket.options.reuse_port && other.options.reuse_port) return false;
        return !socket.options.reuse_address || !other.options.reuse_address || other.is_listening();
    };
    const auto [first, last] = bound_.equal_range(where.port);
    for (auto at = first; at != last; ++at)
        if (excludes(*at->second, at->second->local())) return true;
    for (const auto& [ends, connection] : connections_)
        if (ends.first.port == where.port && excludes(*connection, ends.first)) return true;
    return false;
}

int tcp_stack::bind(tcp_socket& socket, endpoint& where) {
    if (!where.is_any() && !is_own(where)) return -EADDRNOTAVAIL;
    if (where.port != 0) {
        if (conflicts(socket, where)) return -EADDRINUSE;
    } else {
        std::uint64_t tried = 0;
        do {
            if (tried++ == ephemeral_count) return -EADDRINUSE;
            where.port = static_cast<std::uint16_t>(ephemeral_first + next_ephemeral_++ % ephemeral_count);
        } while (bound_.contains(where.port) || conflicts(socket, where));
    }
    bound_.emplace(where.port, &socket);
    return 0;
}

int tcp_stack::listen(tcp_socket& socket) {
    if (conflicts(socket, socket.local())) return -EADDRINUSE;
    listeners_.emplace(socket.local().port, &socket);
    return 0;
}

void tcp_stack::release(tcp_socket& socket) noexcept {
    for (auto* table : {&bound_, &listeners_}) {
        const auto [first, last] = table->equal_range(socket.local().port);
        const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == &socket; });
        if (found != last) table->erase(found);
    }
}

int tcp_stack::choose_local(const tcp_socket& socket, const endpoint& remote, endpoint& local) {
    if (remote.is_v4() && socket.family() == AF_INET6 && socket.options.v6_only) return -ENETUNREACH;
    if (local.is_any()) {
        const auto port = local.port;
        const auto fits = [&](const endpoint& own) { return own.is_v4() == remote.is_v4(); };
        if (remote.is_loopback()) {
            local = remote.is_v4() ? loopback_v4 : loopback_v6;
        } else if (is_own(remote)) {
            local = remote;
        } else {
            const auto own = std::find_if(addresses_.begin(), addresses_.end(), fits);
            if (own == addresses_.end()) return -ENETUNREACH;
            local = *own;
        }
        local.port = port;
    } else if (local.is_v4() != remote.is_v4()) {
        return -ENETUNREACH;
    } else if (local.is_loopback() && !remote.is_loopback() && !is_own(remote)) {
        return -EINVAL;
    }
    if (local.port != 0) return connections_.contains({local, remote}) ? -EADDRNOTAVAIL : 0;
    for (std::uint64_t tried = 0; tried < ephemeral_count; ++tried) {
        local.port = static_cast<std::uint16_t>(ephemeral_first + next_ephemeral_++ % ephemeral_count);
        if (!bound_.contains(local.port) && !connections_.contains({local, remote})) return 0;
    }
    return -EADDRNOTAVAIL;
}

void tcp_stack::add(const std::shared_ptr<tcp_socket>& socket) {
    connections_[{socket->local(), socket->remote()}] = socket;
}

void tcp_stack::remove(const tcp_socket& socket) noexcept {
    const auto found = connections_.find({socket.local(), socket.remote()});
    if (found != connections_.end() && found->second.get() == &socket) connections_.erase(found);
}

station* tcp_stack::towards(const endpoint& remote) noexcept { return is_own(remote) ? this : wires_.find(remote); }

// The most exact address wins; among equals (SO_REUSEPORT) it is drawn.
tcp_socket* tcp_stack::find_listener(const endpoint& local) noexcept {
    tcp_socket* chosen = nullptr;
    int best = 0;
    std::uint64_t equals = 0;
    const auto [first, last] = listeners_.equal_range(local.port);
    for (auto at = first; at != last; ++at) {
        tcp_socket& each = *at->second;
        int score = 0;
        if (each.local().same_host(local))
            score = 3;
        else if (each.local().is_any() && hears(each, each.local(), local.is_v4()))
            score = each.local().is_v4() == local.is_v4() ? 2 : 1;
        if (score == 0 || score < best) continue;
        equals = score > best ? 1 : equals + 1;
        best = score;
        if (equals == 1 || all_.choices.below(equals) == 0) chosen = &each;
    }
    return chosen;
}

void tcp_stack::receive(packet arrived) {
    const auto found = connections_.find({arrived.to, arrived.from});
    if (found != connections_.end()) {
        const std::shared_ptr<tcp_socket> socket = found->second;
        return socket->arrive(std::move(arrived));
    }
    if (arrived.what == packet::kind::reset) return;
    tcp_socket* listener = arrived.what == packet::kind::syn ? find_listener(arrived.to) : nullptr;
    if (listener == nullptr) return refuse(arrived);
    if (!listener->has_backlog_room()) return;  // the peer will ask again
    const auto made = std::make_shared<tcp_socket>(*this, listener->family(), listener->options);
    made->open_passively(std::static_pointer_cast<tcp_socket>(listener->shared_from_this()), arrived);
}

void tcp_stack::refuse(const packet& unwanted) {
    packet reset;
    reset.what = packet::kind::reset;
    reset.from = unwanted.to;
    reset.to = unwanted.from;
    const auto way = std::make_shared<flight>();
    way->from = this;
    way->to = towards(unwanted.from);
    wires_.send(way, std::move(reset));
}

std::size_t tcp_stack::abort_connections(const station* peer) {
    std::vector<std::shared_ptr<tcp_socket>> victims;
    for (const auto& [ends, socket] : connections_)
        if (peer == nullptr || towards(ends.second) == peer) victims.push_back(socket);
    for (const auto& each : victims) each->abort(ECONNRESET);
    return victims.size();
}

void tcp_stack::lose_power() noexcept {
    for (const auto& [ends, socket] : connections_) socket->vanish();
    for (const auto& [port, socket] : bound_) socket->vanish();
    connections_.clear();
    bound_.clear();
    listeners_.clear();
}

}  // namespace cove::sim::detail
