#include <cove/runtime/sleep.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

namespace cove::detail {

bool timed_wait::start(promise_base& frame) noexcept {
    if (!may_wait(frame)) return false;
    suspend(frame);
    loop& running = own_loop();
    if (length_ > duration::zero()) deadline_ = add_clamped(running.now(), length_);
    if (deadline_ == time_point::min())
        wake();
    else
        running.set_timer(*this, deadline_);
    return true;
}

std::string timed_wait::describe() const {
    if (deadline_ == time_point::min()) return "yield";
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(own_loop().time_until(deadline_));
    return text({"sleep, ", left.count(), " ms left"});
}

bool yield_operation::start(promise_base& frame) noexcept {
    if (!may_wait(frame)) return false;
    suspend(frame);
    own_loop().make_ready(*this);
    return true;
}

std::string yield_operation::describe() const { return "yield"; }

}  // namespace cove::detail
