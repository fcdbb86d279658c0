// Waiting on descriptors that cove does not own: terminals, pipes, the sockets of C libraries.

#pragma once

#include <cove/runtime/io_operation.hpp>
#include <cove/runtime/result.hpp>

namespace cove {

namespace detail {

class [[nodiscard]] readiness_operation final : public io_operation<readiness_operation> {
public:
    readiness_operation(int fd, direction d) noexcept : io_operation(fd, d) {}
    void await_resume() const;
    result<void> take_result() const;

private:
    const char* name() const noexcept override { return what_for() == direction::read ? "readable" : "writable"; }
    friend io_waiter;
    long try_once(kernel& os, int fd, bool& drained) noexcept;
};

}  // namespace detail

// Waits until fd can be read, or written, without blocking, or has ended, in which case the next call on it says so.
// Level-triggered: whoever does not read all that is there is told again. A regular file is always ready.
//
// The descriptor stays its owner's, who closes it when nobody waits on it, and need not be non-blocking. One reader and
// one writer at a time.
// Throws: std::system_error: EBADF for a closed one, errc::busy where another coroutine waits for the same direction,
// or for a descriptor of cove's own, ENOMEM and ENOSPC from epoll_ctl(2).
// Cancellation: nothing has been read or written.
detail::readiness_operation readable(int fd) noexcept;
detail::readiness_operation writable(int fd) noexcept;

}  // namespace cove
