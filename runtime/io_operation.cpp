#include <cove/runtime/io_operation.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

#include <cerrno>

namespace cove {

io_operation::io_operation(const io_operation& other) noexcept
    : waiter(other), direction_(other.direction_), is_on_(other.is_on_), target_(other.target_) {
    if (is_on_ == on::slot) stand_on_target(*other.slot_);
}

// Here and below: always inline, because GCC would not, and each is a part of every read and write.
[[gnu::always_inline]] inline long io_operation::try_now(detail::slot& slot) noexcept {
    bool drained = false;
    long result = 0;
    do result = try_once(slot.home->os(), slot.fd, drained);
    while (result == -EINTR);
    if (result == -EAGAIN)
        slot.clear(direction_);
    else if (drained)
        slot.clear_after_short(direction_);
    return result;
}

// Returns the descriptor's slot; null, and the outcome says why, where there can be none.
[[gnu::always_inline]] inline detail::slot* io_operation::find_slot(detail::reactor& reactor) {
    if (is_on_ == on::owned) {
        if (target_->slot_ != nullptr && target_->slot_->home == &reactor) return target_->slot_;
        if (target_->is_open()) return &target_->slot_in(reactor);
    }
    constexpr int number_max = 1 << 22;  // no system has so many; the reactor's table grows with the largest number
    if (is_on_ == on::borrowed) {
        if (borrowed_ >= 0 && borrowed_ <= number_max) return &reactor.borrow(borrowed_);
        outcome_ = -EBADF;
    } else {
        outcome_ = detail::raw(errc::closed);
    }
    return nullptr;
}

bool io_operation::start(detail::promise_base& frame) {
    if (!may_wait(frame)) return false;
    loop& running = frame.scope->own_loop();
    detail::slot* const found = find_slot(running.reactor());
    if (found == nullptr) return false;
    detail::slot& slot = *found;
    if (slot.place(direction_) != nullptr) {
        outcome_ = detail::raw(errc::busy);
        return false;
    }
    if (!slot.ready(direction_)) return wait_in(slot, frame);
    // Ready, but this coroutine has had its share: it is tried when its turn comes again.
    if (!running.spend_budget()) return requeue_in(slot, frame);
    set_outcome(try_now(slot));
    if (outcome_ == -EAGAIN) return wait_in(slot, frame);
    if (outcome_ == again) return requeue_in(slot, frame);
    return false;
}

[[gnu::always_inline]] inline void io_operation::enter_slot(detail::slot& slot) noexcept {
    slot_ = &slot;
    is_on_ = on::slot;
    slot.place(direction_) = this;
    ++slot.home->waiting;
}

bool io_operation::requeue_in(detail::slot& slot, detail::promise_base& frame) noexcept {
    enter_slot(slot);
    suspend(frame);
    wake();
    return true;
}

bool io_operation::start_waiting(detail::promise_base& frame) {
    return wait_in(target_->slot_in(frame.scope->own_loop().reactor()), frame);
}

bool io_operation::wait_in(detail::slot& slot, detail::promise_base& frame) {
    enter_slot(slot);
    if (!slot.armed()) {
        const long armed = slot.home->arm(slot, direction_);
        if (armed < 0) {
            leave_slot();
            set_outcome(armed);
            return false;
        }
    }
    suspend(frame);
    return true;
}

bool io_operation::attempt() noexcept {
    if (is_on_ != on::slot) return true;  // abandoned: the outcome is known
    if (!slot_->ready(direction_)) return false;
    set_outcome(try_now(*slot_));
    if (outcome_ == again) {
        wake();
        return false;
    }
    if (outcome_ == -EAGAIN) {
        set_outcome(slot_->armed() ? 0 : slot_->home->arm(*slot_, direction_));
        if (outcome_ >= 0) return false;
    }
    leave_slot();
    return true;
}

bool io_operation::withdraw() noexcept {
    if (is_on_ == on::slot) leave_slot();
    return true;
}

void io_operation::leave_slot() noexcept {
    detail::slot& left = *slot_;
    stand_on_target(left);
    left.place(direction_) = nullptr;
    --left.home->waiting;
    if (left.owner == nullptr) left.home->return_if_unused(left);
}

void io_operation::stand_on_target(const detail::slot& left) noexcept {
    if (left.owner != nullptr) {
        is_on_ = on::owned;
        target_ = left.owner;
    } else {
        is_on_ = on::borrowed;
        borrowed_ = left.fd;
    }
}

void io_operation::abandon(long outcome) noexcept {
    leave_slot();
    is_on_ = on::nothing;
    set_outcome(outcome);
    finish();
}

int io_operation::number() const noexcept {
    switch (is_on_) {
        case on::owned: return target_->number();
        case on::borrowed: return borrowed_;
        case on::slot: return slot_->fd;
        case on::nothing: break;
    }
    return -1;
}

std::string io_operation::subject() const { return number() < 0 ? std::string() : text({"fd ", number()}); }

std::string io_operation::describe() const { return text({name(), " ", subject()}); }

void io_operation::throw_outcome() const { detail::throw_error(detail::to_error_code(outcome_), name(), subject()); }

}  // namespace cove
