#include <support/allocations.hpp>

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COVE_THREAD_SANITIZER
#endif
#endif

namespace {

std::atomic<long> counted{0};
// Of this thread: simulated worlds run on several at once.
thread_local long until_failure = -1;

}  // namespace

#if !defined(__SANITIZE_THREAD__) && !defined(COVE_THREAD_SANITIZER)

void* operator new(std::size_t size, std::align_val_t alignment) {
    counted.fetch_add(1, std::memory_order_relaxed);
    if (until_failure >= 0 && until_failure-- == 0) throw std::bad_alloc();
    void* memory = nullptr;
    if (::posix_memalign(&memory, static_cast<std::size_t>(alignment), size > 0 ? size : 1) == 0) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size) { return operator new(size, std::align_val_t(__STDCPP_DEFAULT_NEW_ALIGNMENT__)); }

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#endif

namespace test {

long allocations() noexcept { return counted.load(std::memory_order_relaxed); }
void escape(const void*) noexcept {}
long fail_allocation_after(long others) noexcept { return std::exchange(until_failure, others); }

}  // namespace test
