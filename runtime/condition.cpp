#include <cove/runtime/condition.hpp>

namespace cove {

bool condition::operation::start(detail::promise_base& frame) noexcept {
    if (!may_wait(frame)) return false;
    stage_ = stage::waiting;
    suspend(frame);
    condition_->waiting_.push_back(*this);
    held_->release();
    return true;
}

// The wait for the notification is over; that for the mutex begins.
void condition::operation::lock_again(stage why) noexcept {
    stage_ = why;
    take_or_enter();
}

bool condition::operation::withdraw() noexcept {
    if (stage_ == stage::waiting) {
        leave_list();
        lock_again(stage::canceled);
    }
    return false;
}

void condition::operation::await_resume() {
    throw_if_canceled();  // before the wait: the mutex is held still
    *held_ = mutex::guard(*semaphore_);
    const bool was_canceled = stage_ == stage::canceled;
    stage_ = stage::idle;
    if (was_canceled) throw_canceled();
}

condition::operation::~operation() {
    if (stage_ == stage::notified) condition_->notify_one();
}

void condition::notify_one() noexcept {
    if (semaphore::request* first = waiting_.pop_front())
        static_cast<operation*>(first)->lock_again(operation::stage::notified);
}

void condition::notify_all() noexcept {
    while (!waiting_.empty()) notify_one();
}

}  // namespace cove
