#include <cove/net/sim/faults.hpp>

namespace cove::sim {

const char* name_of(fault kind) noexcept {
    switch (kind) {
        case fault::short_read: return "short_read";
        case fault::short_write: return "short_write";
        case fault::would_block: return "would_block";
        case fault::interrupted: return "interrupted";
        case fault::no_descriptor: return "no_descriptor";
        case fault::no_file: return "no_file";
        case fault::no_buffers: return "no_buffers";
        case fault::no_memory: return "no_memory";
        case fault::connection_aborted: return "connection_aborted";
        case fault::spurious_event: return "spurious_event";
        case fault::delayed_event: return "delayed_event";
        case fault::lost_packet: return "lost_packet";
        case fault::slow_packet: return "slow_packet";
        case fault::reset: return "reset";
        case fault::connect_timeout: return "connect_timeout";
        case fault::no_allocation: return "no_allocation";
        case fault::partition: return "partition";
        case fault::one_way_partition: return "one_way_partition";
        case fault::crash: return "crash";
        case fault::kill: return "kill";
        case fault::pause: return "pause";
        case fault::clock_jump: return "clock_jump";
        case fault::count: break;
    }
    return "?";
}

fault_rates& fault_rates::set_harmless(double rate) noexcept {
    for (const fault kind : {fault::short_read, fault::short_write, fault::would_block, fault::interrupted,
                             fault::spurious_event, fault::delayed_event, fault::lost_packet, fault::slow_packet})
        set(kind, rate);
    return *this;
}

fault_rates& fault_rates::set_all_calls(double rate) noexcept {
    set_harmless(rate);
    for (const fault kind : {fault::no_descriptor, fault::no_file, fault::no_buffers, fault::no_memory,
                             fault::connection_aborted, fault::reset, fault::connect_timeout})
        set(kind, rate);
    return *this;
}

fault_counts& fault_counts::operator+=(const fault_counts& others) noexcept {
    for (std::size_t i = 0; i < fault_count; ++i) counts_[i] += others.counts_[i];
    return *this;
}

std::uint64_t fault_counts::total() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t each : counts_) sum += each;
    return sum;
}

}  // namespace cove::sim
