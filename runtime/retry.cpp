#include <cove/runtime/retry.hpp>

#include <cove/runtime/kernel.hpp>

#include <algorithm>
#include <cmath>

namespace cove {
namespace {

duration count(double nanoseconds) noexcept { return duration(static_cast<duration::rep>(nanoseconds)); }

}  // namespace

duration pause_after(unsigned attempt, const retry_options& options) {
    if (options.first_pause <= duration::zero()) return duration::zero();
    const double grown =
        static_cast<double>(options.first_pause.count()) * std::pow(std::max(options.factor, 1.0), attempt - 1);
    // What is below a longest pause of duration::max(), as a double 2^63, can be counted; that itself could not.
    const duration longest = std::max(options.pause_max, duration::zero());
    const duration pause = grown < static_cast<double>(longest.count()) ? count(grown) : longest;
    const double by_chance = static_cast<double>(pause.count()) * std::clamp(options.jitter, 0.0, 1.0);
    const double drawn = static_cast<double>(kernel::current().random() >> 11) * 0x1p-53;  // 0 up to 1
    return pause - count(by_chance * drawn);
}

}  // namespace cove
