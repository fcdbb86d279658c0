#include <cove/net/detail/block_pool.hpp>

#include <cove/net/buffer.hpp>
#include <cove/runtime/error.hpp>

#include <sys/mman.h>

#include <new>

namespace cove::detail {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t block_bytes = 256 * 1024;
static_assert(sizeof(block) + buffer::capacity <= block_bytes);

block* make_block(block_pool& home) {
    return ::new (::operator new(block_bytes, std::align_val_t(page_bytes))) block(home);
}
void destroy(block& old) noexcept { ::operator delete(&old, std::align_val_t(page_bytes)); }

// Gives a thread's blocks back when it ends. It stands apart from the pool, and is touched seldom, because a thread_local
// with a destructor costs a guard at every access.
struct closer {
    bool armed = false;
    ~closer() { blocks.close(); }
};
thread_local closer at_thread_exit;

}  // namespace

// Gives the pages behind the bytes in use back; they read as zeros when they are next touched.
void block::trim() noexcept {
    const std::size_t kept = (sizeof(block) + in_use + page_bytes - 1) / page_bytes * page_bytes;
    if (kept >= resident_max) return;
    // That it may fail costs memory only.
    if (::madvise(reinterpret_cast<char*>(this) + kept, block_bytes - kept, MADV_DONTNEED) == 0) resident_max = kept;
}

void block_pool::provide_next() {
    at_thread_exit.armed = true;
    if (filled_ != nullptr) hold(*std::exchange(filled_, nullptr));
    if (hot_.size() == 0) take_back_abandoned();
    if (hot_.size() > 0)
        next_ = &hot_.pop();
    else
        next_ = cold_.size() > 0 ? &cold_.pop() : make_block(*this);
}

void block_pool::give_back_held(block& old) noexcept {
    if (old.home != this) {
        if (old.where.exchange(block::place::abandoned, std::memory_order_acq_rel) == block::place::loose) destroy(old);
        return;
    }
    if (old.is_generous) leave_generous(old);
    keep(old);
}

void block_pool::keep(block& free) noexcept {
    if (is_closed_) return destroy(free);
    if (hot_.size() < hot_max) return hot_.push(free);
    free.in_use = 0;
    free.trim();
    if (cold_.size() < cold_max)
        cold_.push(free);
    else
        destroy(free);
}

void block_pool::resize(block& out, std::size_t size_bytes) noexcept {
    if (out.home != this) {
        // Its pool may be trimming it right now.
        if (size_bytes > out.in_use) misuse("a buffer can grow only on the thread that has taken it");
        return;
    }
    out.set_in_use(size_bytes);
    if (&out == filled_ || out.is_generous) return;
    out.where.store(block::place::watched, std::memory_order_relaxed);
    hold(out);  // there may be something to trim again
}

void block_pool::hold(block& held) noexcept {
    if (generous_count_ == generous_max) {
        block& oldest = *generous_[0];
        leave_generous(oldest);
        oldest.trim();
        stop_watching(oldest);
    }
    held.is_generous = true;
    generous_[generous_count_++] = &held;
}

void block_pool::leave_generous(block& left) noexcept {
    left.is_generous = false;
    std::size_t position = generous_count_ - 1;
    while (generous_[position] != &left) --position;
    for (--generous_count_; position < generous_count_; ++position) generous_[position] = generous_[position + 1];
}

// From now on nobody knows of it, unless another thread has already left it to this pool.
void block_pool::stop_watching(block& out) noexcept {
    if (out.where.exchange(block::place::loose, std::memory_order_acq_rel) == block::place::abandoned) keep(out);
}

void block_pool::take_back_abandoned() noexcept {
    for (std::size_t i = generous_count_; i-- > 0;) {
        block& held = *generous_[i];
        if (!held.is_abandoned()) continue;
        leave_generous(held);
        keep(held);
    }
}

void block_pool::clear() noexcept {
    if (next_ != nullptr) destroy(*std::exchange(next_, nullptr));
    for (free_list* kept : {&hot_, &cold_})
        while (kept->size() > 0) destroy(kept->pop());
}

void block_pool::close() noexcept {
    if (filled_ != nullptr) stop_watching(*std::exchange(filled_, nullptr));
    while (generous_count_ > 0) {
        block& held = *generous_[0];
        leave_generous(held);
        stop_watching(held);
    }
    clear();
    is_closed_ = true;
}

}  // namespace cove::detail
