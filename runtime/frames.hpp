// What this thread's coroutines keep in memory.

#pragma once

namespace cove {

// Returns how many coroutine frames this thread has allocated less those it has freed: with tasks that stay on one thread,
// how many coroutines there are. A test that finds as many after as before has leaked none.
long frames_alive() noexcept;

// Gives the memory that this thread keeps for its next frames back to the heap.
void free_cached_frames() noexcept;

}  // namespace cove
