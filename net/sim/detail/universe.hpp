// What everything in a simulated world shares: the time, the choices, the agenda, and the record of what has happened.

#pragma once

#include <cove/net/sim/calls.hpp>
#include <cove/net/sim/detail/agenda.hpp>
#include <cove/net/sim/faults.hpp>
#include <cove/net/sim/generator.hpp>
#include <cove/net/sim/trace.hpp>

#include <array>
#include <vector>

namespace cove::sim::detail {

// What the parts of one host have in common.
struct machine {
    const char* name = "";
    unsigned index = 0;
    bool immune = false;                          // faults that are drawn pass it by
    bool up = true;                               // has power
    std::array<unsigned, fault_count> ordered{};  // faults that strike at the next opportunities, whatever their rates
};

struct universe {
    explicit universe(std::uint64_t seed) noexcept : choices(seed), agenda(choices) {}
    universe(const universe&) = delete;
    universe& operator=(const universe&) = delete;

    generator choices;
    detail::agenda agenda;
    time_point now{};
    sim::trace trace;
    fault_rates rates;
    fault_counts fired;

    std::uint64_t calls = 0;
    failing_call failing;
    std::vector<call>* recorded_calls = nullptr;

    // Makes the allocation after so many others fail; see world_options.
    long (*fail_allocation)(long after) = nullptr;
    bool allocation_fails = false;  // while a host runs whose allocation is to fail

    template <class Function>
    void after(duration wait, Function what) {
        agenda.at(add_clamped(now, wait), std::move(what));
    }

    // Lets the next event happen.
    void step() {
        now = std::max(now, agenda.next());
        agenda.run_next();
    }

    // Whether a fault strikes a machine at this opportunity. Counts and notes it.
    bool strikes(fault kind, machine& at) noexcept {
        unsigned& ordered = at.ordered[static_cast<std::size_t>(kind)];
        if (ordered > 0)
            --ordered;
        else if (at.immune || !choices.chance(rates[kind]))
            return false;
        count(kind, at.name);
        return true;
    }

    void count(fault kind, const char* where) noexcept {
        ++fired[kind];
        trace.add({now, where, "fault", {}, {}, 0, name_of(kind)});
    }
};

}  // namespace cove::sim::detail
