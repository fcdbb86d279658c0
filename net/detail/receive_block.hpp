// How receive() and pass_through() read: into a block of a buffer's, which is given back where there was nothing.

#pragma once

#include <cove/net/buffer.hpp>
#include <cove/runtime/kernel.hpp>

#include <cerrno>
#include <cstddef>
#include <new>

namespace cove {

[[gnu::always_inline]] inline long buffer::receive_block(kernel& os, int fd, char*& block, bool& drained) noexcept {
    char* taken = nullptr;
    try {
        taken = take_block();
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
    const long count = os.receive(fd, taken, capacity);
    if (count <= 0) {
        give_back(taken);  // nobody holds memory while waiting
        return count;
    }
    drained = static_cast<std::size_t>(count) < capacity;
    fill(taken, static_cast<std::size_t>(count));
    block = taken;
    return count;
}

}  // namespace cove
