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

void frame_recycler::close_at_thread_exit() noexcept {
    at_thread_exit.armed = true;
    closed_at_thread_exit_ = true;
}

void* frame_recycler::allocate_from_heap(std::size_t size_bytes) {
    const std::size_t index = size_class(size_bytes);
    void* frame = ::operator new(index < class_count ? class_size(index) : size_bytes);
    ++live_;
    return frame;
}

void frame_recycler::free_cached() noexcept {
    for (link*& list : free_) {
        while (link* frame = list) {
            list = frame->next;
            ::operator delete(frame);
        }
    }
    cached_bytes_ = 0;
}

void frame_recycler::close() noexcept {
    free_cached();
    cached_bytes_ = cached_bytes_max;  // it counts as full from now on
}

}  // namespace cove::detail
