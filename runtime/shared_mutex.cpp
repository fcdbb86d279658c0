#include <cove/runtime/shared_mutex.hpp>

namespace cove {

shared_mutex::operation shared_mutex::lock() noexcept { return operation(*this, mode::exclusive); }
shared_mutex::operation shared_mutex::lock_shared() noexcept { return operation(*this, mode::shared); }

shared_mutex::guard shared_mutex::try_lock() noexcept {
    return waiting_.empty() && take(mode::exclusive) ? guard(*this, mode::exclusive) : guard();
}
shared_mutex::guard shared_mutex::try_lock_shared() noexcept {
    return waiting_.empty() && take(mode::shared) ? guard(*this, mode::shared) : guard();
}

bool shared_mutex::take(mode wanted) noexcept {
    if (writer_ || (wanted == mode::exclusive && readers_ > 0)) return false;
    if (wanted == mode::exclusive)
        writer_ = true;
    else
        ++readers_;
    return true;
}

void shared_mutex::unlock(mode held) noexcept {
    if (held == mode::exclusive)
        writer_ = false;
    else
        --readers_;
    grant();
}

// Gives the lock to those who are first in line, as many as can hold it together.
void shared_mutex::grant() noexcept {
    while (operation* first = waiting_.front()) {
        if (!take(first->mode_)) return;
        first->leave_list();
        first->finish();
    }
}

bool shared_mutex::operation::withdraw() noexcept {
    leave_list();
    mutex_->grant();
    return true;
}

}  // namespace cove
