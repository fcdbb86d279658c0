#include <cove/net/sim/detail/network.hpp>

#include <algorithm>
#include <chrono>

namespace cove::sim::detail {
namespace {

using namespace std::chrono_literals;

constexpr duration loopback_latency_max = 10us;
constexpr duration first_retransmission = 200ms;  // TCP's shortest, RFC 6298 as Linux has it
constexpr std::uint64_t retransmissions_max = 5;
constexpr int slow_factor = 100;

}  // namespace

const char* name_of(const packet& any) noexcept {
    switch (any.what) {
        case packet::kind::syn: return "syn";
        case packet::kind::syn_ack: return "syn+ack";
        case packet::kind::data: return any.fin ? "fin" : any.data.empty() ? "ack" : "data";
        case packet::kind::probe: return "probe";
        case packet::kind::reset: return "reset";
    }
    return "?";
}

station* network::find(const endpoint& address) const noexcept {
    const auto found = stations_.find(address.with_port(0));
    return found == stations_.end() ? nullptr : found->second;
}

link& network::between(const station& from, const station& to) {
    const auto [found, added] = links_.try_emplace({from.machine().index, to.machine().index});
    if (added) {
        const bool is_loopback = &from == &to;
        found->second.latency_min = is_loopback ? duration::zero() : latency_min_;
        found->second.latency_max = is_loopback ? std::min<duration>(loopback_latency_max, latency_max_) : latency_max_;
    }
    return found->second;
}

void network::send(const std::shared_ptr<flight>& by, packet sent) {
    all_.trace.add({all_.now, by->from->machine().name, "send", sent.from, sent.to,
                    static_cast<std::int64_t>(sent.data.size()), name_of(sent)});
    if (by->to == nullptr) return;
    time_point arrival = add_clamped(all_.now, transit(between(*by->from, *by->to), *by->from, sent));
    if (!by->queue.empty()) arrival = std::max(arrival, add_clamped(by->queue.back().first, 1ns));
    by->queue.emplace_back(arrival, std::move(sent));
    if (!by->is_held) schedule(by);
}

duration network::transit(link& way, const station& from, const packet& sent) {
    duration takes = all_.choices.between(way.latency_min, way.latency_max);
    if (all_.strikes(fault::slow_packet, from.machine())) takes *= slow_factor;
    if (all_.strikes(fault::lost_packet, from.machine()))
        takes += first_retransmission * (1 << all_.choices.below(retransmissions_max));
    if (way.bytes_per_second > 0) {
        constexpr double header_bytes = 40;
        const double seconds = (static_cast<double>(sent.data.size()) + header_bytes) / way.bytes_per_second;
        way.free_at = add_clamped(std::max(way.free_at, all_.now), to_duration(std::chrono::duration<double>(seconds)));
        takes = add_clamped(way.free_at, takes) - all_.now;
    }
    return takes;
}

void network::schedule(const std::shared_ptr<flight>& by) {
    if (by->is_scheduled || by->queue.empty()) return;
    by->is_scheduled = true;
    all_.agenda.at(std::max(all_.now, by->queue.front().first), [this, by] {
        by->is_scheduled = false;
        deliver(by);
    });
}

void network::deliver(const std::shared_ptr<flight>& by) {
    if (is_cut(*by->from, *by->to)) {
        by->is_held = true;
        between(*by->from, *by->to).held.push_back(by);
        return;
    }
    packet arrived = std::move(by->queue.front().second);
    by->queue.pop_front();
    all_.trace.add({all_.now, by->to->machine().name, "receive", arrived.to, arrived.from,
                    static_cast<std::int64_t>(arrived.data.size()), name_of(arrived)});
    if (!arrived.data.empty() && all_.strikes(fault::reset, by->from->machine()))
        strike_reset(*by, arrived);
    else
        by->to->receive(std::move(arrived));
    schedule(by);
}

void network::strike_reset(const flight& by, const packet& victim) {
    packet forged;
    forged.what = packet::kind::reset;
    forged.from = victim.to;
    forged.to = victim.from;
    if (by.from->machine().up) by.from->receive(forged);
    std::swap(forged.from, forged.to);
    by.to->receive(forged);
}

bool network::is_cut(const station& from, const station& to) noexcept {
    return !to.machine().up || between(from, to).cuts > 0;
}

void network::cut(const station& from, const station& to) { ++between(from, to).cuts; }

void network::heal(const station& from, const station& to) {
    link& way = between(from, to);
    if (way.cuts > 0 && --way.cuts == 0) release(way);
}

void network::heal_all() {
    ++heals_;
    for (auto& [ends, way] : links_) {
        way.cuts = 0;
        release(way);
    }
}

void network::power_returns(const station& at) {
    for (auto& [ends, way] : links_)
        if (ends.second == at.machine().index && way.cuts == 0) release(way);
}

// What was held is sent again, some time after.
void network::release(link& healed) {
    for (const std::shared_ptr<flight>& each : std::exchange(healed.held, {})) {
        each->is_held = false;
        const duration late = all_.choices.between(duration::zero(), first_retransmission);
        time_point earliest = all_.now + late;
        for (auto& [arrival, held] : each->queue) {
            arrival = std::max(arrival, earliest);
            earliest = add_clamped(arrival, 1ns);
        }
        schedule(each);
    }
}

}  // namespace cove::sim::detail
