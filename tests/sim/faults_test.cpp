#include <cove/net/sim/faults.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using cove::sim::fault;
using cove::sim::fault_count;
using cove::sim::fault_counts;
using cove::sim::fault_rates;

namespace {

std::set<std::string> names_of(const fault_rates& rates) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < fault_count; ++i)
        if (rates[static_cast<fault>(i)] > 0) names.insert(name_of(static_cast<fault>(i)));
    return names;
}

const std::set<std::string> harmless = {"short_read",     "short_write",   "would_block", "interrupted",
                                        "spurious_event", "delayed_event", "lost_packet", "slow_packet"};

}  // namespace

TEST_CASE("every fault has a name of its own") {
    std::set<std::string> names;
    for (std::size_t i = 0; i < fault_count; ++i) names.insert(name_of(static_cast<fault>(i)));
    CHECK(names.size() == fault_count);
    CHECK(!names.contains("?"));
    CHECK(name_of(fault::count) == std::string("?"));
}

TEST_CASE("at first no fault strikes") { CHECK(names_of(fault_rates()).empty()); }

TEST_CASE("a rate is what it was set to, and sets no other") {
    const fault_rates rates = fault_rates().set(fault::reset, 0.25).set(fault::crash, 3);
    CHECK(rates[fault::reset] == 0.25);
    CHECK(rates[fault::crash] == 3);
    CHECK(names_of(rates) == std::set<std::string>{"crash", "reset"});
}

TEST_CASE("the harmless faults are those that nobody is told of") {
    const fault_rates rates = fault_rates().set_harmless(0.5);
    CHECK(names_of(rates) == harmless);
    CHECK(rates[fault::would_block] == 0.5);
}

TEST_CASE("the faults of all calls are the harmless ones, and those of calls and connections that are told") {
    std::set<std::string> all = harmless;
    all.insert(
        {"no_descriptor", "no_file", "no_buffers", "no_memory", "connection_aborted", "reset", "connect_timeout"});
    CHECK(names_of(fault_rates().set_all_calls(0.5)) == all);
    CHECK(names_of(fault_rates().set_all_calls(0.5).set_all_calls(0)).empty());
}

TEST_CASE("counts add up, kind by kind") {
    fault_counts one, other;
    CHECK(one.total() == 0);
    one[fault::short_read] = 2;
    one[fault::clock_jump] = 1;
    other[fault::short_read] = 3;
    other[fault::pause] = 7;
    one += other;
    CHECK(one[fault::short_read] == 5);
    CHECK(one[fault::clock_jump] == 1);
    CHECK(one[fault::pause] == 7);
    CHECK(one[fault::crash] == 0);
    CHECK(one.total() == 13);
    CHECK(other.total() == 10);
}
