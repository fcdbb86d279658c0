#include <cove/runtime/readiness.hpp>

#include <cove/runtime/error.hpp>

#include <cerrno>

namespace cove {
namespace detail {

// A borrowed descriptor is marked ready by an event only, and the event is used up by the wait that it ends.
long readiness_operation::try_once(kernel&, int, bool& drained) noexcept {
    drained = true;
    return 0;
}

result<void> readiness_operation::take_result() const {
    const long outcome = this->outcome();
    if (outcome >= 0 || outcome == -EPERM) return std::monostate();  // EPERM: epoll refuses regular files
    return to_error_code(outcome);
}

void readiness_operation::await_resume() const {
    if (!take_result()) throw_outcome();
}

}  // namespace detail

detail::readiness_operation readable(int fd) noexcept { return {fd, direction::read}; }
detail::readiness_operation writable(int fd) noexcept { return {fd, direction::write}; }

}  // namespace cove
