#include "weather.hpp"

#include <support/allocations.hpp>

#include <chrono>
#include <cstdint>

namespace scenarios {
namespace {

using cove::sim::fault;
using cove::sim::generator;
using namespace std::chrono_literals;

// Apart from the world's own choices, so that one more draw here changes nothing there.
generator choices_for(const cove::sim::plan& which, std::uint64_t purpose) {
    return generator(which.seed * 31 + purpose);
}

// From the smallest that Linux allows to the largest that it grows to by itself.
std::size_t draw_buffer(generator& choices) { return std::size_t{2304} << choices.below(12); }

}  // namespace

weather draw_weather(const cove::sim::plan& which) {
    if (which.failing.nth > 0 || which.calls != nullptr) return weather::calm;
    const std::uint64_t drawn = choices_for(which, 1).below(4);
    return drawn == 0 ? weather::calm : drawn == 1 ? weather::hostile : weather::rough;
}

cove::sim::world_options draw_options(const cove::sim::plan& which, weather outside) {
    generator choices = choices_for(which, 2);
    cove::sim::world_options options;
    options.latency_max = 10us * (1 << choices.below(14));  // up to 80 ms
    options.latency_min = options.latency_max / 10;
    options.turn_max = 1us * (1 << choices.below(10));
    options.send_buffer = draw_buffer(choices);
    options.receive_buffer = draw_buffer(choices);
    if (outside == weather::calm) return options;
    // Many at once now and then, few most of the time.
    const double rate = 0.1 / static_cast<double>(1 << choices.below(8));
    options.faults.set_harmless(rate);
    options.faults.set(fault::partition, 0.05).set(fault::one_way_partition, 0.05);
    options.faults.set(fault::pause, 0.05).set(fault::clock_jump, 0.01);
    if (outside == weather::rough) return options;
    options.faults.set_all_calls(rate / 4);
    options.faults.set(fault::crash, 0.02).set(fault::kill, 0.02);
    if (test::counts_allocations) {
        options.fail_allocation = test::fail_allocation_after;
        options.faults.set(fault::no_allocation, rate / 8);
    }
    return options;
}

}  // namespace scenarios
