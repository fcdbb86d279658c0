// What has happened in a simulated world: the last events always, all of them where somebody wants to read them.

#pragma once

#include <cove/net/sim/detail/endpoint.hpp>
#include <cove/runtime/clock.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

namespace cove::sim {

class trace {
public:
    struct event {
        time_point at;
        const char* host = "";  // must outlive the trace, as `what` must
        const char* what = "";
        detail::endpoint from;
        detail::endpoint to;
        std::int64_t value = 0;
        const char* detail = "";
    };

    // Prints every event from now on as it happens; nullptr: none.
    void print_to(std::FILE* file) noexcept { printed_to_ = file; }

    void add(const event& happened) noexcept;

    // Returns the last events, one a line.
    std::string last() const;

    // Tells two runs apart: equal if and only if, but for a chance of one in 2^64, the same events happened in the same
    // order.
    std::uint64_t fingerprint() const noexcept { return fingerprint_; }
    std::uint64_t events() const noexcept { return added_; }

private:
    static constexpr std::size_t kept = 64;

    std::array<event, kept> ring_{};
    std::uint64_t added_ = 0;
    std::uint64_t fingerprint_ = 0xcbf2'9ce4'8422'2325;
    std::FILE* printed_to_ = nullptr;
};

}  // namespace cove::sim
