// Where coroutine frames come from: per-thread free lists by size class, so that starting a task in
// steady state costs a few instructions and no lock. Under AddressSanitizer every frame comes from
// the heap instead, where a use after free is seen.

#pragma once

#include <cstddef>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COVE_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define COVE_ADDRESS_SANITIZER
#endif

namespace cove::detail {

// Aligned so that room_ shares a cache line with the lists of small frames: each that comes or goes changes both.
class alignas(64) frame_recycler {
public:
    // Returns size_bytes of storage aligned for any scalar. Throws std::bad_alloc. Any thread.
    void* allocate(std::size_t size_bytes) {
        const std::size_t index = size_class(size_bytes);
        if (index >= class_count || free_[index] == nullptr) [[unlikely]]
            return allocate_from_heap(size_bytes);
        link* frame = free_[index];
        free_[index] = frame->next;
        room_ += class_size(index);
        return frame;
    }

    // Gives storage back; a frame that was allocated on another thread stays on this one.
    void free(void* frame, std::size_t size_bytes) noexcept {
        const std::size_t index = size_class(size_bytes);
        if (index < class_count) {
            room_ -= class_size(index);
            if (room_ >= 0) [[likely]]
                return cache(frame, index);
        }
        free_seldom(frame, index);
    }

    // How many frames this thread has allocated less those it has freed, counted by a walk over the cached ones. Tests use
    // it to prove that no frame leaks.
    long live() const noexcept;

    // Gives what is cached back to the heap.
    void free_cached() noexcept;

    // Gives what is cached back, and caches nothing from now on.
    void close() noexcept;

private:
    struct link {
        link* next;
    };

#ifdef COVE_ADDRESS_SANITIZER
    static constexpr std::size_t class_count = 0;
#else
    static constexpr std::size_t class_count = 256;
#endif
    static constexpr std::ptrdiff_t cached_bytes_max = 32 * 1024 * 1024;  // what a burst may leave behind on a thread
    static constexpr std::size_t class_bytes = 16;                        // so frames of up to 4 KiB are recycled

    // Sizes of 16 n + 8 bytes are what malloc gives without waste: its own 8 bytes make them a multiple of 16.
    static constexpr std::size_t size_class(std::size_t size_bytes) noexcept { return (size_bytes + 7) / class_bytes; }
    static constexpr std::ptrdiff_t class_size(std::size_t index) noexcept {
        return static_cast<std::ptrdiff_t>(index * class_bytes + 8);
    }

    void cache(void* frame, std::size_t index) noexcept { free_[index] = ::new (frame) link{free_[index]}; }

    void* allocate_from_heap(std::size_t size_bytes);
    void free_seldom(void* frame, std::size_t index) noexcept;
    void make_room(std::size_t index) noexcept;
    void give_to_heap(void* frame) noexcept;

    std::ptrdiff_t room_ = 0;  // how much more may be cached: nothing until the thread's end is seen to, and after it
    link* free_[class_count + 1] = {};
    long from_heap_ = 0;        // how many frames were, and have not been given back to it
    std::size_t yielding_ = 0;  // the size class that gives way where the cache is full
    bool closed_at_thread_exit_ = false;
};

inline constinit thread_local frame_recycler frames;

}  // namespace cove::detail
