#include <cove/runtime/frames.hpp>

#include <cove/runtime/detail/frame_recycler.hpp>

namespace cove {

long frames_alive() noexcept { return detail::frames.live(); }
void free_cached_frames() noexcept { detail::frames.free_cached(); }

}  // namespace cove
