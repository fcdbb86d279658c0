// Where coroutine frames come from: per-thread free lists by size class, so that starting a task in
// steady state costs a few instructions and no lock. Under AddressSanitizer every frame comes from
// the heap instead, where a use after free is seen.

#pragma once

#include <cstddef>

namespace cove::detail {

// Returns size_bytes of storage aligned for any scalar. Throws std::bad_alloc. Any thread.
void* allocate_frame(std::size_t size_bytes);

// Gives storage back, on any thread, to that thread's lists.
void free_frame(void* frame, std::size_t size_bytes) noexcept;

// How many frames this thread has allocated less those it has freed. Tests use it to prove that no frame leaks.
long live_frames() noexcept;

}  // namespace cove::detail
