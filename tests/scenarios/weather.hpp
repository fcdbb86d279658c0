// How rough a run is: what a scenario draws first.

#pragma once

#include <cove/net/sim/world.hpp>

namespace scenarios {

enum class weather : unsigned char {
    calm,     // no fault at all
    rough,    // faults that no program should notice, but by its clock: everything must come out as if it were calm
    hostile,  // every fault: what fails must fail in order
};

// Draws it, from the seed alone. A run in which a call is made to fail is otherwise calm.
weather draw_weather(const cove::sim::plan& which);

// Draws the options of a world in this weather: latencies, buffers, rates.
cove::sim::world_options draw_options(const cove::sim::plan& which, weather outside);

}  // namespace scenarios
