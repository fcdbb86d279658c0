// Memory for received bytes, taken from a pool only once there are bytes: an idle connection holds none.

#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace cove {

// Some received bytes. Move-only; gives its memory back to the pool of the thread that destroys it.
class buffer {
public:
    // How much one receive() takes at most.
    static constexpr std::size_t capacity = 16 * 1024;

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
    void set_size(std::size_t size_bytes) noexcept { size_ = size_bytes; }

    std::string_view view() const noexcept { return {block_, size_}; }

    // Whether there are bytes: false at the end of the stream.
    explicit operator bool() const noexcept { return size_ > 0; }

private:
    static void give_back(char* block) noexcept;

    char* block_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace cove
