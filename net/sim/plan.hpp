// Which run of a scenario it is, and what is to be known of it.

#pragma once

#include <cove/net/sim/calls.hpp>
#include <cove/net/sim/faults.hpp>
#include <cove/runtime/clock.hpp>

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace cove::sim {

// What has come of runs; those of several add up.
struct totals {
    std::uint64_t runs = 0;
    duration time{};  // of the worlds
    std::uint64_t events = 0;
    std::uint64_t calls = 0;
    std::uint64_t turns = 0;
    fault_counts faults;
    std::uint64_t fingerprint = 0;  // of the last run
    totals& operator+=(const totals& others) noexcept;
};

// A run follows from its seed alone, but for a call that is made to fail.
struct plan {
    plan(std::uint64_t chosen) noexcept : seed(chosen) {}

    std::uint64_t seed;
    failing_call failing;
    std::FILE* trace = nullptr;          // where all events are printed
    std::vector<call>* calls = nullptr;  // where the calls are recorded, in order
    totals* into = nullptr;              // where the run is counted
};

// Returns the run's name: its seed, and the call that fails.
std::string to_string(const plan& which);

// Thrown by a run that went wrong. what() begins with why, and ends with the seed and the last events.
class failed_run : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

}  // namespace cove::sim
