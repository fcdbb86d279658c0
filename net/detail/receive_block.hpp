// How receive() and pass_through() read: into a block of a buffer's, which stays in the pool where there was nothing.

#pragma once

#include <cove/net/buffer.hpp>
#include <cove/net/detail/block_pool.hpp>
#include <cove/runtime/kernel.hpp>

#include <cerrno>
#include <cstddef>
#include <new>

namespace cove {

[[gnu::always_inline]] inline long buffer::receive_block(kernel& os, int fd, char*& block, bool& drained) noexcept {
    char* into = nullptr;
    try {
        into = detail::blocks.next();
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
    const long count = os.receive(fd, into, capacity);
    if (count <= 0) return count;  // nobody holds memory while waiting
    detail::blocks.hand_out(static_cast<std::size_t>(count));
    drained = static_cast<std::size_t>(count) < capacity;
    block = into;
    return count;
}

}  // namespace cove
