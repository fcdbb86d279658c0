#include <cove/runtime/io_waiter.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

#include <cerrno>

namespace cove {

[[gnu::always_inline]] inline void io_waiter::stand_on_target(const detail::slot& left) noexcept {
    if (left.owner != nullptr) {
        is_on_ = on::owned;
        target_ = left.owner;
    } else {
        is_on_ = on::borrowed;
        borrowed_ = left.fd;
    }
}

io_waiter::io_waiter(const io_waiter& other) noexcept
    : waiter(other), direction_(other.direction_), is_on_(other.is_on_), target_(other.target_) {
    if (is_on_ == on::slot) stand_on_target(*other.slot_);
}

detail::slot* io_waiter::find_slot(detail::reactor& reactor) {
    constexpr int number_max = 1 << 22;  // no system has so many; the reactor's table grows with the largest number
    if (is_on_ == on::owned && target_->is_open()) return &target_->slot_in(reactor);
    if (is_on_ == on::borrowed) {
        if (borrowed_ >= 0 && borrowed_ <= number_max) return &reactor.borrow(borrowed_);
        outcome_ = -EBADF;
    } else {
        outcome_ = detail::raw(errc::closed);
    }
    return nullptr;
}

[[gnu::always_inline]] inline void io_waiter::enter_slot(detail::slot& slot) noexcept {
    slot_ = &slot;
    is_on_ = on::slot;
    slot.waits_for(direction_) = this;
    ++slot.home->waiting;
}

bool io_waiter::requeue_in(detail::slot& slot, detail::promise_base& frame) noexcept {
    enter_slot(slot);
    suspend(frame);
    wake();
    return true;
}

bool io_waiter::start_waiting(detail::promise_base& frame) {
    return wait_in(target_->slot_in(frame.scope->own_loop().reactor()), frame);
}

[[gnu::hot]] bool io_waiter::wait_in(detail::slot& slot, detail::promise_base& frame) {
    enter_slot(slot);
    if (!slot.armed()) [[unlikely]]
        return wait_unarmed(slot, frame);
    suspend(frame);
    return true;
}

bool io_waiter::wait_unarmed(detail::slot& slot, detail::promise_base& frame) {
    const long armed = slot.home->arm(slot, direction_);
    if (armed < 0) {
        leave_slot();
        set_outcome(armed);
        return false;
    }
    suspend(frame);
    return true;
}

bool io_waiter::withdraw() noexcept {
    if (is_on_ == on::slot) leave_slot();
    return true;
}

[[gnu::hot]] void io_waiter::leave_slot() noexcept {
    detail::slot& left = *slot_;
    stand_on_target(left);
    left.waits_for(direction_) = nullptr;
    --left.home->waiting;
    if (left.owner == nullptr) left.home->return_if_unused(left);
}

void io_waiter::abandon(long outcome) noexcept {
    leave_slot();
    is_on_ = on::nothing;
    set_outcome(outcome);
    finish();
}

int io_waiter::number() const noexcept {
    switch (is_on_) {
        case on::owned: return target_->number();
        case on::borrowed: return borrowed_;
        case on::slot: return slot_->fd;
        case on::nothing: break;
    }
    return -1;
}

[[gnu::cold]] std::string io_waiter::subject() const { return number() < 0 ? std::string() : text({"fd ", number()}); }

[[gnu::cold]] std::string io_waiter::describe() const { return text({name(), " ", subject()}); }

[[gnu::cold]] void io_waiter::throw_outcome() const {
    detail::throw_error(detail::to_error_code(outcome_), name(), subject());
}

}  // namespace cove
