#include <cove/runtime/detail/frame_recycler.hpp>

namespace cove::detail {
namespace {

// Gives a thread's cached frames back when it ends. It stands apart from the recycler, and is touched once a thread,
// because a thread_local with a destructor costs a guard at every access.
struct closer {
    bool armed = false;
    ~closer() { frames.close(); }
};
thread_local closer at_thread_exit;

}  // namespace

void* frame_recycler::allocate_from_heap(std::size_t size_bytes) {
    const std::size_t index = size_class(size_bytes);
    void* frame = ::operator new(index < class_count ? class_size(index) : size_bytes);
    ++from_heap_;
    return frame;
}

// What is too large or too much to be kept; and the first one of a thread, which is.
void frame_recycler::free_seldom(void* frame, std::size_t index) noexcept {
    if (index < class_count && !closed_at_thread_exit_) {
        at_thread_exit.armed = true;
        closed_at_thread_exit_ = true;
        cached_bytes_limit_ = cached_bytes_max;
        cache(frame, index);
        return;
    }
    ::operator delete(frame);
    --from_heap_;
}

long frame_recycler::live() const noexcept {
    long count = from_heap_;
    for (const link* list : free_)
        for (const link* frame = list; frame != nullptr; frame = frame->next) --count;
    return count;
}

void frame_recycler::free_cached() noexcept {
    for (link*& list : free_) {
        while (link* frame = list) {
            list = frame->next;
            ::operator delete(frame);
            --from_heap_;
        }
    }
    cached_bytes_ = 0;
}

void frame_recycler::close() noexcept {
    free_cached();
    cached_bytes_limit_ = 0;
}

}  // namespace cove::detail
