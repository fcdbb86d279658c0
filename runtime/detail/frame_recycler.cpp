#include <cove/runtime/detail/frame_recycler.hpp>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define COVE_RECYCLE_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COVE_RECYCLE_FRAMES 0
#endif
#endif
#ifndef COVE_RECYCLE_FRAMES
#define COVE_RECYCLE_FRAMES 1
#endif

namespace cove::detail {
namespace {

constexpr std::size_t class_bytes = 64;
constexpr std::size_t class_count = 64;                     // frames of up to 4 KiB are recycled
constexpr std::size_t cached_bytes_max = 32 * 1024 * 1024;  // what a burst may leave behind on a thread

struct free_frame_link {
    free_frame_link* next;
};

struct recycler {
    free_frame_link* free[class_count];
    std::size_t cached_bytes;
    long live;
};

constinit thread_local recycler local{};

// Gives a thread's cached frames back when it ends. It stands apart from the recycler, and is touched on the slow
// path only, because a thread_local with a destructor costs a guard at every access.
struct drain_at_thread_exit {
    bool armed = true;
    ~drain_at_thread_exit() {
        for (free_frame_link*& list : local.free) {
            while (free_frame_link* frame = list) {
                list = frame->next;
                ::operator delete(frame);
            }
        }
        local.cached_bytes = cached_bytes_max;  // frames that are freed later still go to the heap
    }
};
thread_local drain_at_thread_exit drain;

std::size_t size_class(std::size_t size_bytes) noexcept { return (size_bytes - 1) / class_bytes; }

}  // namespace

void* allocate_frame(std::size_t size_bytes) {
    const std::size_t index = size_class(size_bytes);
    if (COVE_RECYCLE_FRAMES && index < class_count) {
        if (free_frame_link* frame = local.free[index]) {
            local.free[index] = frame->next;
            local.cached_bytes -= (index + 1) * class_bytes;
            ++local.live;
            return frame;
        }
        size_bytes = (index + 1) * class_bytes;
        drain.armed = true;
    }
    void* frame = ::operator new(size_bytes);
    ++local.live;
    return frame;
}

void free_frame(void* frame, std::size_t size_bytes) noexcept {
    --local.live;
    const std::size_t index = size_class(size_bytes);
    if (!COVE_RECYCLE_FRAMES || index >= class_count || local.cached_bytes >= cached_bytes_max) {
        ::operator delete(frame);
        return;
    }
    local.cached_bytes += (index + 1) * class_bytes;
    local.free[index] = ::new (frame) free_frame_link{local.free[index]};
}

long live_frames() noexcept { return local.live; }

}  // namespace cove::detail
