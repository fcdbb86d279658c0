// The faults that befall hosts and the network between them, as their rates have it.

#include <cove/net/sim/world.hpp>

#include <algorithm>
#include <chrono>

namespace cove::sim {
namespace {

using namespace std::chrono_literals;

// Drawn so that short and long ones are equally frequent, from 1 ms to about 16 s.
duration draw_length(generator& choices) { return choices.between(1ms, 2ms) * (1 << choices.below(14)); }

}  // namespace

void world::schedule_disasters() {
    for (const fault kind :
         {fault::partition, fault::one_way_partition, fault::crash, fault::kill, fault::pause, fault::clock_jump})
        if (all_.rates[kind] > 0) schedule_disaster(kind);
}

void world::schedule_disaster(fault kind) {
    const auto mean = to_duration(std::chrono::duration<double>(1 / all_.rates[kind]));
    const duration longest = mean > duration::max() / 2 ? duration::max() : 2 * mean;
    after(all_.choices.between(duration::zero(), longest), [this, kind] {
        if (disasters_over_) return;
        strike_world(kind);
        schedule_disaster(kind);
    });
}

sim::host* world::draw_host(bool that_may_crash) {
    std::vector<sim::host*> eligible;
    for (const auto& each : hosts_)
        if (!each->machine_.immune && each->is_running() && (each->may_crash_ || !that_may_crash))
            eligible.push_back(each.get());
    return eligible.empty() ? nullptr : eligible[all_.choices.below(eligible.size())];
}

void world::strike_world(fault kind) {
    if (kind == fault::partition || kind == fault::one_way_partition) return cut_off(kind);
    sim::host* victim = draw_host(kind == fault::crash || kind == fault::kill);
    if (victim == nullptr) return;
    all_.count(kind, victim->name().c_str());
    const duration length = draw_length(all_.choices);
    if (kind == fault::pause) return victim->pause(length);
    if (kind == fault::clock_jump) return victim->jump_clock(length * 100);
    kind == fault::crash ? victim->crash() : victim->kill();
    after(length, [victim] {
        if (!victim->is_running()) victim->restart();
    });
}

void world::cut_off_for(duration length, sim::host& from, sim::host& to) {
    partition_one_way(from, to);
    after(length, [this, &from, &to, heals = network_.heals()] {
        if (network_.heals() == heals) heal_one_way(from, to);  // otherwise heal_all() has done so
    });
}

// Two hosts, or one and all others.
void world::cut_off(fault kind) {
    sim::host* one = draw_host(false);
    if (one == nullptr || hosts_.size() < 2) return;
    all_.count(kind, one->name().c_str());
    const bool from_all = all_.choices.chance(0.5);
    const bool one_way = kind == fault::one_way_partition;
    const bool outward = all_.choices.chance(0.5);
    const std::size_t chosen = all_.choices.below(hosts_.size());
    const duration length = draw_length(all_.choices);
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        sim::host* other = hosts_[i].get();
        if (other == one || (!from_all && i != chosen)) continue;
        if (!one_way || outward) cut_off_for(length, *one, *other);
        if (!one_way || !outward) cut_off_for(length, *other, *one);
    }
}

}  // namespace cove::sim
