// Latencies in 32 steps to each power of two: percentiles within 3 %, in constant memory.

#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

class histogram {
public:
    void add(std::uint64_t ns) {
        ++counts_[index(ns)];
        ++total_;
    }

    std::uint64_t total() const { return total_; }

    // Returns the value that the share given (0 to 1) of all values does not exceed; 0 where there are none.
    double percentile_us(double share) const {
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted) return static_cast<double>(lower_bound(i)) / 1000;
        }
        return 0;
    }

private:
    static constexpr unsigned step_bits = 5;
    static constexpr std::uint64_t steps = 1U << step_bits;

    static std::size_t index(std::uint64_t value) {
        if (value < steps) return value;
        const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - step_bits;
        return (shift + 1) * steps + (value >> shift) - steps;
    }
    static std::uint64_t lower_bound(std::size_t i) {
        if (i < steps) return i;
        const std::size_t shift = i / steps - 1;
        return (i % steps + steps) << shift;
    }

    std::array<std::uint64_t, 40 * steps> counts_{};  // up to 2^44 ns, five hours
    std::uint64_t total_ = 0;
};
