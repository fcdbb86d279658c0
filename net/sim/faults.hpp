// What can go wrong in a simulated world.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cove::sim {

enum class fault : unsigned char {
    // Of a call on a socket. Rates are chances: 0.01 strikes every hundredth opportunity.
    short_read,          // recv gives less than there is; the rest comes a moment later, with an edge of its own
    short_write,         // send takes less than there is room for
    would_block,         // EAGAIN although readiness was reported; an edge follows
    interrupted,         // EINTR
    no_descriptor,       // EMFILE
    no_file,             // ENFILE
    no_buffers,          // ENOBUFS
    no_memory,           // ENOMEM
    connection_aborted,  // ECONNABORTED from accept; the connection is gone
    // Of epoll.
    spurious_event,  // epoll reports a descriptor that is not ready
    delayed_event,   // an edge comes late, merged with those that came meanwhile
    // Of the network, by packet or by connection.
    lost_packet,      // it comes late, after TCP has sent it again, and all behind it wait
    slow_packet,      // a hundred times the latency
    reset,            // somebody between the hosts resets the connection
    connect_timeout,  // nothing ever answers a connect
    // Of a process.
    no_allocation,  // operator new throws; needs world_options::fail_allocation
    // Of hosts and of the network between them. Rates are how often a second, on average, in the whole world.
    partition,          // two hosts, or one host and all others, cannot reach each other for a while
    one_way_partition,  // one of them cannot reach the other
    crash,              // a host loses its power, and starts again after a while
    kill,               // a host's process is killed, its kernel closes what it had open, and it is started again
    pause,              // a host's process stands still
    clock_jump,         // a host's clock leaps forward
    count
};

inline constexpr std::size_t fault_count = static_cast<std::size_t>(fault::count);

// Returns its name, as reports print it.
const char* name_of(fault kind) noexcept;

// How often each fault strikes; at first none does.
class fault_rates {
public:
    fault_rates() noexcept = default;

    double operator[](fault kind) const noexcept { return rates_[static_cast<std::size_t>(kind)]; }
    fault_rates& set(fault kind, double rate) noexcept {
        rates_[static_cast<std::size_t>(kind)] = rate;
        return *this;
    }

    // Sets those faults that no program should notice, but by its clock: what it is told is true and nothing is lost.
    fault_rates& set_harmless(double rate) noexcept;

    // Sets every fault of a call, of epoll, of packets and of connections.
    fault_rates& set_all_calls(double rate) noexcept;

private:
    std::array<double, fault_count> rates_{};
};

// How often something happened, by kind.
class fault_counts {
public:
    fault_counts() noexcept = default;

    std::uint64_t& operator[](fault kind) noexcept { return counts_[static_cast<std::size_t>(kind)]; }
    std::uint64_t operator[](fault kind) const noexcept { return counts_[static_cast<std::size_t>(kind)]; }
    fault_counts& operator+=(const fault_counts& others) noexcept;
    std::uint64_t total() const noexcept;

private:
    std::array<std::uint64_t, fault_count> counts_{};
};

}  // namespace cove::sim
