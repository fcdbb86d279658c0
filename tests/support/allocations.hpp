// The program's operator new, counted, and made to fail on demand.

#pragma once

namespace test {

// How often memory was asked of the heap so far, by any thread.
long allocations() noexcept;

// Makes the allocation that comes after so many others throw std::bad_alloc, once, and those after it succeed; negative:
// none. Returns how many of the count were left.
long fail_allocation_after(long others) noexcept;

}  // namespace test
