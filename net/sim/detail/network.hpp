// The wires between simulated hosts. A packet takes its time and is never lost: what a real network drops, TCP sends
// again, so here it arrives late, and in the order in which its connection sent it.

#pragma once

#include <cove/net/sim/detail/endpoint.hpp>
#include <cove/net/sim/detail/universe.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cove::sim::detail {

struct packet {
    enum class kind : unsigned char { syn, syn_ack, data, probe, reset };
    kind what = kind::data;
    bool fin = false;
    endpoint from;
    endpoint to;
    std::uint64_t sequence = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t window_end = 0;  // the peer may send what lies before it
    std::string data;
};

// What traces call it.
const char* name_of(const packet& any) noexcept;

// Who receives packets: the TCP of a host.
class station {
public:
    virtual void receive(packet arrived) = 0;

    detail::machine& machine() const noexcept { return machine_; }

protected:
    explicit station(detail::machine& at) noexcept : machine_(at) {}
    ~station() = default;

private:
    detail::machine& machine_;
};

// The packets of one direction of a connection, on their way.
struct flight {
    station* from = nullptr;
    station* to = nullptr;  // null: nobody has that address
    std::deque<std::pair<time_point, packet>> queue;
    bool is_scheduled = false;
    bool is_held = false;
};

// How one host reaches another.
struct link {
    duration latency_min{};
    duration latency_max{};
    double bytes_per_second = 0;  // 0: without limit
    time_point free_at{};         // when the last packet has left
    int cuts = 0;                 // how many partitions lie between them
    std::vector<std::shared_ptr<flight>> held;
};

class network {
public:
    network(universe& all, duration latency_min, duration latency_max) noexcept
        : all_(all), latency_min_(latency_min), latency_max_(latency_max) {}

    void connect_station(const endpoint& address, station& at) { stations_[address.with_port(0)] = &at; }
    station* find(const endpoint& address) const noexcept;

    void send(const std::shared_ptr<flight>& by, packet sent);

    link& between(const station& from, const station& to);
    void cut(const station& from, const station& to);
    void heal(const station& from, const station& to);
    void heal_all();
    // How often everything has been healed.
    unsigned heals() const noexcept { return heals_; }

    // Whether nothing arrives now; a host without power receives nothing.
    bool is_cut(const station& from, const station& to) noexcept;

    // Lets go the packets that waited for this host to have power.
    void power_returns(const station& at);

private:
    void schedule(const std::shared_ptr<flight>& by);
    void deliver(const std::shared_ptr<flight>& by);
    void release(link& healed);
    duration transit(link& way, const station& from, const packet& sent);
    void strike_reset(const flight& by, const packet& victim);

    universe& all_;
    duration latency_min_;
    duration latency_max_;
    std::map<endpoint, station*> stations_;
    std::map<std::pair<unsigned, unsigned>, link> links_;
    unsigned heals_ = 0;
};

}  // namespace cove::sim::detail
