// Many runs of one scenario: by seed, or with each call of the kernel failing in turn.

#pragma once

#include <cove/net/sim/plan.hpp>

#include <cstdint>
#include <functional>

namespace cove::sim {

// Makes a world of which everything follows from the plan, runs it and checks what has come of it. Throws what it finds:
// failed_run, or anything else that is a std::exception.
using scenario = std::function<void(const plan& which)>;

struct seed_range {
    std::uint64_t first;
    std::uint64_t last;  // included
};

// Runs the scenario for each seed, on so many threads at once. Some seeds are run twice, to see that they repeat
// themselves. Returns the totals. Throws failed_run: the first that was found; `progress`, if set, is told of each run.
totals explore(const scenario& run, seed_range seeds, unsigned threads = 1,
               const std::function<void(const totals&)>& progress = {});

// Runs the scenario once to see which calls it makes, and then, for each of them and for each error that its man page
// allows, once with just that call failing. The scenario sees by which.failing that something may fail.
totals fail_every_call(const scenario& run, std::uint64_t seed, unsigned threads = 1,
                       const std::function<void(const totals&)>& progress = {});

}  // namespace cove::sim
