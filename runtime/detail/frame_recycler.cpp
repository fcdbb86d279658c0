#include <cove/runtime/detail/frame_recycler.hpp>

namespace cove::detail {
namespace {

// Gives a thread's cached frames back when it ends. It stands apart from the recycler, and is touched when the heap is
// asked only, because a thread_local with a destructor costs a guard at every access.
struct close_at_thread_exit {
    bool armed = false;
    ~close_at_thread_exit() { frames.close(); }
};
thread_local close_at_thread_exit closer;

}  // namespace

void* frame_recycler::allocate_from_heap(std::size_t size_bytes) {
    closer.armed = true;
    const std::size_t index = size_class(size_bytes);
    void* frame = ::operator new(index < class_count ? class_size(index) : size_bytes);
    ++live_;
    return frame;
}

void frame_recycler::close() noexcept {
    for (link*& list : free_) {
        while (link* frame = list) {
            list = frame->next;
            ::operator delete(frame);
        }
    }
    cached_bytes_ = 0;
    cached_bytes_max_ = 0;
}

}  // namespace cove::detail
