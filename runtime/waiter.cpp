#include <cove/runtime/waiter.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

namespace cove {

bool waiter::may_wait(detail::promise_base& frame) noexcept {
    if (!frame.scope->is_canceled()) return true;
    state_ = state::canceled;
    return false;
}

void waiter::suspend(detail::promise_base& frame) noexcept {
    frame_ = &frame;
    state_ = state::waiting;
    frame.scope->add(*this);
}

void waiter::wake() noexcept {
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

void waiter::run() noexcept {
    if (state_ == state::waiting) {
        if (!attempt()) return;
        state_ = state::finished;
    }
    list_node<detail::scope_tag>::unlink();
    detail::resume(*frame_);
}

void waiter::throw_if_canceled() const {
    if (state_ == state::canceled) throw canceled();
}

loop& waiter::own_loop() const noexcept { return frame_->scope->own_loop(); }

}  // namespace cove
