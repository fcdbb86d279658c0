// A file descriptor that cove owns: closed once, by its owner, with everybody who waits on it told.

#pragma once

#include <cove/runtime/kernel.hpp>

namespace cove {

namespace detail {
class reactor;
struct slot;
enum class direction : unsigned char { read, write };
}  // namespace detail

// Owns a non-blocking descriptor. It belongs to no loop until the first operation on it has to begin; from then on it
// belongs to the loop of that operation until it is closed or released.
//
// Concurrency: one thread at a time, and that of its loop once it has one. Lifetime: it may be moved while operations
// wait on it.
class descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int fd, kernel& os = kernel::current()) noexcept : fd_(fd), os_(&os) {}
    descriptor(descriptor&& other) noexcept;
    descriptor& operator=(descriptor&& other) noexcept;
    ~descriptor() { close(); }

    // Returns the number, or -1 when closed.
    int number() const noexcept { return fd_; }
    bool is_open() const noexcept { return fd_ >= 0; }
    kernel& os() const noexcept { return os_ != nullptr ? *os_ : kernel::current(); }

    // Closes it, if it is open. Operations that wait on it end with errc::closed. See close(2).
    void close() noexcept;

    // Gives the number away, open; operations that wait on it end with errc::closed.
    [[nodiscard]] int release() noexcept;

    // After an option that may have made room: the next write asks the kernel, which need not tell of such room by an
    // edge, whatever was known before.
    void expect_room() noexcept;

private:
    friend class io_waiter;
    friend class detail::reactor;

    // Returns its place in the running loop's reactor, attaching it first if need be. Throws std::bad_alloc.
    detail::slot& slot_in(detail::reactor& reactor);
    void forget_slot() noexcept { slot_ = nullptr; }
    void detach() noexcept;

    int fd_ = -1;
    kernel* os_ = nullptr;
    detail::slot* slot_ = nullptr;
};

}  // namespace cove
