// The two halves of pass_through(): taking bytes from one socket, and giving them to another.
//
// Each waits for its own socket only. The pipe between them is empty whenever bytes are taken, and is emptied before more
// are, so that EAGAIN, which splice(2) answers for a socket as for a pipe, always speaks of the socket.

#pragma once

#include <cove/net/buffer.hpp>
#include <cove/net/detail/socket_operation.hpp>
#include <cove/runtime/pipe_pool.hpp>

#include <cstddef>
#include <cstdint>

namespace cove::detail {

// Bytes on their way, in a pipe or, copied, in a buffer; in neither while there are none.
class load {
public:
    load() noexcept = default;
    load(const load&) = delete;
    load& operator=(const load&) = delete;

    bool empty() const noexcept { return size_ == 0; }

    // Takes what a socket has. Returns how many bytes, 0 at the end of the stream, or -errno.
    long take(kernel& os, int fd, bool& drained) noexcept;

    // Gives a socket as much as it takes now. Returns how many bytes, or -errno.
    long give(kernel& os, int fd) noexcept;

private:
    long take_by_pipe(kernel& os, int fd) noexcept;
    long take_by_copy(kernel& os, int fd, bool& drained) noexcept;

    std::size_t size_ = 0;
    pipe_ends pipe_;
    buffer copied_;
    bool comes_in_bulk_ = false;
    bool can_splice_ = true;
};

class [[nodiscard]] take_operation final : public socket_operation<take_operation, bool> {
public:
    // Part of it would be lost if it were not awaited to its end: see select.
    static constexpr bool selectable = false;

    take_operation(descriptor& socket, load& into) noexcept : socket_operation(socket, direction::read), into_(into) {}

    bool give(long taken) const noexcept { return taken > 0; }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "pass_through from"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept { return into_.take(os, fd, drained); }

    load& into_;
};

class [[nodiscard]] give_operation final : public socket_operation<give_operation, void> {
public:
    static constexpr bool selectable = false;

    give_operation(descriptor& socket, load& given, std::uint64_t& passed) noexcept
        : socket_operation(socket, direction::write), given_(given), passed_(passed) {}

    void give(long) const noexcept {}

private:
    friend io_waiter;
    const char* name() const noexcept override { return "pass_through to"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    load& given_;
    std::uint64_t& passed_;
};

}  // namespace cove::detail
