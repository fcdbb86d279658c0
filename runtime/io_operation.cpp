#include <cove/runtime/io_operation.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

#include <cerrno>

namespace cove {

bool io_operation::start(detail::promise_base& frame) {
    if (!may_wait(frame)) return false;
    loop& running = frame.scope->own_loop();
    constexpr int number_max = 1 << 22;  // no system has so many; the reactor's table grows with the largest number
    if (target_ != nullptr ? !target_->is_open() : fd_ < 0 || fd_ > number_max) {
        outcome_ = target_ != nullptr ? detail::raw(errc::closed) : -EBADF;
        return false;
    }
    detail::reactor& reactor = running.reactor();
    detail::slot& slot = target_ != nullptr ? target_->slot_in(reactor) : reactor.borrow(fd_);
    fd_ = slot.fd;
    if (slot.place(direction_) != nullptr) {
        outcome_ = detail::raw(errc::busy);
        return false;
    }
    if (!slot.ready(direction_)) return wait_in(slot, frame);
    // Ready, but this coroutine has had its share: it is tried when its turn comes again.
    if (!running.spend_budget()) return requeue_in(slot, frame);
    outcome_ = try_now(slot);
    if (outcome_ == -EAGAIN) return wait_in(slot, frame);
    if (outcome_ == again) return requeue_in(slot, frame);
    return false;
}

bool io_operation::requeue_in(detail::slot& slot, detail::promise_base& frame) noexcept {
    enter_slot(slot);
    suspend(frame);
    wake();
    return true;
}

bool io_operation::start_waiting(detail::promise_base& frame) {
    fd_ = target_->number();
    return wait_in(target_->slot_in(frame.scope->own_loop().reactor()), frame);
}

bool io_operation::wait_in(detail::slot& slot, detail::promise_base& frame) {
    enter_slot(slot);
    const long armed = slot.home->arm(slot, direction_);
    if (armed < 0) {
        leave_slot();
        outcome_ = armed;
        return false;
    }
    suspend(frame);
    return true;
}

long io_operation::try_now(detail::slot& slot) noexcept {
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

bool io_operation::attempt() noexcept {
    if (slot_ == nullptr) return true;  // abandoned: the outcome is known
    if (!slot_->ready(direction_)) return false;
    outcome_ = try_now(*slot_);
    if (outcome_ == again) {
        wake();
        return false;
    }
    if (outcome_ == -EAGAIN) {
        outcome_ = slot_->home->arm(*slot_, direction_);
        if (outcome_ >= 0) return false;
    }
    leave_slot();
    return true;
}

bool io_operation::withdraw() noexcept {
    if (slot_ != nullptr) leave_slot();
    return true;
}

void io_operation::enter_slot(detail::slot& slot) noexcept {
    slot_ = &slot;
    slot.place(direction_) = this;
    ++slot.home->waiting;
}

void io_operation::leave_slot() noexcept {
    detail::slot& left = *std::exchange(slot_, nullptr);
    left.place(direction_) = nullptr;
    --left.home->waiting;
    left.home->return_if_unused(left);
}

void io_operation::abandon(long outcome) noexcept {
    leave_slot();
    fd_ = -1;
    outcome_ = outcome;
    finish();
}

std::string io_operation::subject() const { return fd_ < 0 ? std::string() : "fd " + std::to_string(fd_); }

std::string io_operation::describe() const { return std::string(name_) + ' ' + subject(); }

void io_operation::throw_outcome() const { detail::throw_error(detail::to_error_code(outcome_), name_, subject()); }

}  // namespace cove
