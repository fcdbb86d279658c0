// What every call of a simulated kernel begins with.

#pragma once

#include <cove/net/sim/detail/universe.hpp>

namespace cove::sim::detail {

// Keeps a failing operator new for the program, while the kernel allocates.
class allocation_guard {
public:
    explicit allocation_guard(universe& all) noexcept : all_(all) {
        if (all_.allocation_fails) left_ = all_.fail_allocation(-1);
    }
    allocation_guard(const allocation_guard&) = delete;
    allocation_guard& operator=(const allocation_guard&) = delete;
    ~allocation_guard() {
        if (all_.allocation_fails) all_.fail_allocation(left_);
    }

private:
    universe& all_;
    long left_ = -1;
};

// Stands for the length of a call: counts it, and decides whether it is the one to fail.
class call_guard {
public:
    call_guard(universe& all, const machine& at, call what) noexcept : allocations_(all) {
        if (all.recorded_calls != nullptr) all.recorded_calls->push_back(what);
        if (++all.calls != all.failing.nth) return;
        error_ = all.failing.error;
        all.trace.add({all.now, at.name, "failing call", {}, {}, error_, name_of(what)});
    }
    call_guard(const call_guard&) = delete;
    call_guard& operator=(const call_guard&) = delete;

    // The error to answer, 0: none.
    int error() const noexcept { return error_; }

private:
    allocation_guard allocations_;
    int error_ = 0;
};

}  // namespace cove::sim::detail
