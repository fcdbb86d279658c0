// Memory for received bytes, taken from a pool only once there are bytes: an idle connection holds none.
//
// Blocks are large, so that a fast peer's bytes come with few system calls, and one of them serves any number of
// connections that deal with their bytes at once. Where many coroutines hold theirs while they wait, for slow readers, the
// pages that their bytes do not fill are given back to the system: thousands cost what their data costs.

#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace cove {

class kernel;
namespace detail {
class receive_operation;
class load;
}  // namespace detail

// Some received bytes. Move-only. Concurrency: one thread at a time, and it may end on another one than it began on.
class buffer {
public:
    // How much one receive() takes at most: four of the segments that TCP makes over loopback, so that what came in whole
    // segments can be sent on in whole ones. A small one left over from each read costs a fifth of the throughput there.
    static constexpr std::size_t capacity = std::size_t{4} * 65'483;

    buffer() noexcept = default;
    buffer(buffer&& other) noexcept
        : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    buffer& operator=(buffer&& other) noexcept {
        std::swap(block_, other.block_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~buffer() {
        if (block_ != nullptr) give_back(block_);
    }

    // Takes a block of `capacity` bytes, of which none are in use. Throws std::bad_alloc.
    static buffer take();

    // Gives the blocks that this thread keeps for its next buffers back to the heap.
    static void free_cached() noexcept;

    char* data() noexcept { return block_; }
    std::size_t size() const noexcept { return size_; }

    // Says how many of the bytes, the first ones, are in use, at most `capacity`; what lies behind them may be lost from now
    // on. On another thread than the one that has taken the buffer it can only shrink.
    void set_size(std::size_t size_bytes) noexcept;

    std::string_view view() const noexcept { return {block_, size_}; }

    // Whether there are bytes: false at the end of the stream.
    explicit operator bool() const noexcept { return size_ > 0; }

private:
    friend class detail::receive_operation;
    friend class detail::load;

    buffer(char* block, std::size_t size_bytes) noexcept : block_(block), size_(size_bytes) {}

    // Receives into a block of its own: how many bytes, 0 at the end of the stream, or -errno. See receive_block.hpp.
    static long receive_block(kernel& os, int fd, char*& block, bool& drained) noexcept;
    static void give_back(char* block) noexcept;

    char* block_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace cove
