#include <cove/runtime/detail/frame_recycler.hpp>

#include <utility>

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
    void* frame = ::operator new(index < class_count ? static_cast<std::size_t>(class_size(index)) : size_bytes);
    ++from_heap_;
    return frame;
}

// What is too large to be kept, or too much: then there is less than no room; and the first one of a thread, which is kept.
void frame_recycler::free_seldom(void* frame, std::size_t index) noexcept {
    if (index < class_count) {
        if (closed_at_thread_exit_) {
            make_room(index);
        } else {
            at_thread_exit.armed = true;
            closed_at_thread_exit_ = true;
            room_ += cached_bytes_max;
        }
        if (room_ >= 0) {
            cache(frame, index);
            return;
        }
        room_ += class_size(index);
    }
    give_to_heap(frame);
}

// A cache that a burst has filled gives way, a frame at a time, to the sizes that are in use now.
void frame_recycler::make_room(std::size_t index) noexcept {
    if (yielding_ == index || free_[yielding_] == nullptr) {
        if (++yielding_ >= class_count) yielding_ = 0;
        return;
    }
    give_to_heap(std::exchange(free_[yielding_], free_[yielding_]->next));
    room_ += class_size(yielding_);
}

void frame_recycler::give_to_heap(void* frame) noexcept {
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
    for (std::size_t index = 0; index < class_count; ++index) {
        while (link* frame = free_[index]) {
            free_[index] = frame->next;
            room_ += class_size(index);
            give_to_heap(frame);
        }
    }
}

void frame_recycler::close() noexcept {
    free_cached();
    room_ = 0;
}

}  // namespace cove::detail
