// Where every choice of a simulation comes from: a seed, and nothing else.

#pragma once

#include <cove/runtime/clock.hpp>

#include <algorithm>
#include <cstdint>

namespace cove::sim {

// Draws numbers; the same seed gives the same ones on every machine. See Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators" (2014), for the mixing function.
class generator {
public:
    explicit generator(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t mixed = state_ += 0x9e37'79b9'7f4a'7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58'476d'1ce4'e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d0'49bb'1331'11eb;
        return mixed ^ (mixed >> 31);
    }

    // Returns one of 0 to limit - 1; 0 where limit is 0.
    std::uint64_t below(std::uint64_t limit) noexcept {
        return limit == 0 ? 0 : static_cast<std::uint64_t>((static_cast<wide>(next()) * limit) >> 64);
    }

    // Returns one of the values from least to most, both included.
    std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept {
        if (most <= least) return least;
        const std::uint64_t count = most - least + 1;
        return count == 0 ? next() : least + below(count);  // 0: all there are
    }
    // In numbers that wrap around: the two may lie further apart than a duration is long.
    duration between(duration least, duration most) noexcept {
        const auto first = static_cast<std::uint64_t>(least.count());
        const auto last = static_cast<std::uint64_t>(std::max(least, most).count());
        return duration(static_cast<duration::rep>(first + between(0, last - first)));
    }

    // Returns true that often: 0 is never, 1 is always.
    bool chance(double probability) noexcept {
        if (probability <= 0) return false;
        return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
    }

private:
    __extension__ using wide = unsigned __int128;

    std::uint64_t state_;
};

}  // namespace cove::sim
