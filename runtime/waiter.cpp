#include <cove/runtime/waiter.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

namespace cove {

[[gnu::hot]] void waiter::wake() noexcept {
    if (!runnable::linked()) own_loop().make_ready(*this);
}

void waiter::finish() noexcept {
    state_ = state::finished;
    wake();
}

void waiter::cancel() noexcept {
    if (state_ != state::waiting || !withdraw()) return;
    state_ = state::canceled;
    wake();
}

void waiter::leave_lists() noexcept {
    runnable::unlink();
    list_hook<detail::scope_tag>::unlink();
}

void waiter::throw_canceled() const { throw canceled(frame_->scope->reason()); }

}  // namespace cove
