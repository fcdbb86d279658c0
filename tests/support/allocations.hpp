// The program's operator new, counted, and made to fail on demand.

#pragma once

namespace test {

// Clang's ThreadSanitizer brings an operator new of its own and allows no other: what needs this one is skipped there.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool counts_allocations = false;
#elif defined(__has_feature)
inline constexpr bool counts_allocations = !__has_feature(thread_sanitizer);
#else
inline constexpr bool counts_allocations = true;
#endif

// How often memory was asked of the heap so far, by any thread.
long allocations() noexcept;

// Makes the allocation that comes after so many others throw std::bad_alloc, once, and those after it succeed; negative:
// none. Returns how many of the count were left.
long fail_allocation_after(long others) noexcept;

// Does nothing, where no compiler sees it: an object that was shown to this cannot be left out along with its memory.
void escape(const void* object) noexcept;

}  // namespace test
