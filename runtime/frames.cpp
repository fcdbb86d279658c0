#include <cove/runtime/frames.hpp>

#include <cove/runtime/detail/frame_recycler.hpp>

namespace cove {

long frames_alive() noexcept { return detail::frames.live(); }
void free_cached_frames() noexcept { detail::frames.free_cached(); }

void* allocate_recycled(std::size_t size_bytes) { return detail::frames.allocate(size_bytes); }

void free_recycled(void* memory, std::size_t size_bytes) noexcept { detail::frames.free(memory, size_bytes); }

}  // namespace cove
