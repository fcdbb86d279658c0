// The TCP of one simulated host: which socket has which port, and which one a packet is for.

#pragma once

#include <cove/net/sim/detail/network.hpp>
#include <cove/net/sim/detail/tcp_socket.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace cove::sim::detail {

class tcp_stack final : public station {
public:
    tcp_stack(universe& all, network& wires, detail::machine& at, std::vector<endpoint> addresses);

    universe& all() const noexcept { return all_; }
    network& wires() const noexcept { return wires_; }
    const std::vector<endpoint>& addresses() const noexcept { return addresses_; }

    std::shared_ptr<tcp_socket> make_socket(int family);

    // Ports. bind() answers 0 or -errno and fills in a port where none is asked for.
    int bind(tcp_socket& socket, endpoint& where);
    int listen(tcp_socket& socket);
    void release(tcp_socket& socket) noexcept;

    // Chooses the local end of a connection. Returns 0 or -errno.
    int choose_local(const tcp_socket& socket, const endpoint& remote, endpoint& local);

    void add(const std::shared_ptr<tcp_socket>& socket);
    void remove(const tcp_socket& socket) noexcept;

    void receive(packet arrived) override;

    // The station that a socket's packets go to.
    station* towards(const endpoint& remote) noexcept;

    // Resets the connections with a peer, or all of them; returns how many.
    std::size_t abort_connections(const station* peer);

    // Forgets everything, as a machine without power does.
    void lose_power() noexcept;

    // What a new socket begins with.
    tcp_options defaults;

private:
    using key = std::pair<endpoint, endpoint>;  // local, remote

    bool is_own(const endpoint& address) const noexcept;
    bool conflicts(const tcp_socket& socket, const endpoint& where) const noexcept;
    tcp_socket* find_listener(const endpoint& local) noexcept;
    void refuse(const packet& unwanted);

    universe& all_;
    network& wires_;
    std::vector<endpoint> addresses_;
    std::map<key, std::shared_ptr<tcp_socket>> connections_;
    std::multimap<std::uint16_t, tcp_socket*> bound_;
    std::multimap<std::uint16_t, tcp_socket*> listeners_;
    std::uint64_t next_ephemeral_;
};

}  // namespace cove::sim::detail
