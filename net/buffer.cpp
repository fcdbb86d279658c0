#include <cove/net/buffer.hpp>

#include <cove/net/detail/block_pool.hpp>
#include <cove/runtime/error.hpp>

namespace cove {

buffer buffer::take() {
    char* const bytes = detail::blocks.next();
    detail::blocks.hand_out(capacity);  // whoever takes one may write to all of it
    return {bytes, 0};
}

void buffer::set_size(std::size_t size_bytes) noexcept {
    if (size_bytes > (block_ != nullptr ? capacity : 0))
        detail::misuse("a buffer holds buffer::capacity bytes at most, and one that was not taken or received none");
    size_ = size_bytes;
    if (block_ != nullptr) detail::blocks.resize(detail::block::of(block_), size_bytes);
}

[[gnu::hot]] void buffer::give_back(char* block) noexcept { detail::blocks.give_back(detail::block::of(block)); }

void buffer::free_cached() noexcept { detail::blocks.clear(); }

}  // namespace cove
