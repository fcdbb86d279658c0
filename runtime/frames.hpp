// What this thread's coroutines keep in memory.

#pragma once

#include <cstddef>

namespace cove {

// Returns how many coroutine frames this thread has allocated less those it has freed: with tasks that stay on one thread,
// how many coroutines there are. A test that finds as many after as before has leaked none.
long frames_alive() noexcept;

// Gives the memory that this thread keeps for its next frames back to the heap.
void free_cached_frames() noexcept;

// Memory from where frames have theirs, for other objects that come and go as often: without a call of the heap in steady
// state, and counted as a frame is. To be freed with its size. Throws: std::bad_alloc. Concurrency: any thread.
void* allocate_recycled(std::size_t size_bytes);
void free_recycled(void* memory, std::size_t size_bytes) noexcept;

}  // namespace cove
