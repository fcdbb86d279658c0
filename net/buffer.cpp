#include <cove/net/buffer.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace cove {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t block_bytes = 256 * 1024;

// The head of a block; the bytes follow it.
struct alignas(64) block {
    block* next = nullptr;         // in a list
    std::size_t in_use = 0;        // of its bytes
    std::size_t resident_max = 0;  // how much of it has been written to: what it may cost
    bool is_generous = false;

    char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
    static block& of(char* bytes) noexcept { return *(reinterpret_cast<block*>(bytes) - 1); }

    static block* make() { return ::new (::operator new(block_bytes, std::align_val_t(page_bytes))) block; }
    static void destroy(block* old) noexcept { ::operator delete(old, std::align_val_t(page_bytes)); }

    // Gives the pages behind the bytes in use back; they read as zeros when they are next touched.
    void trim() noexcept {
        const std::size_t kept = (sizeof(block) + in_use + page_bytes - 1) / page_bytes * page_bytes;
        if (kept >= resident_max) return;
        // That it may fail costs memory only.
        if (::madvise(reinterpret_cast<char*>(this) + kept, block_bytes - kept, MADV_DONTNEED) == 0)
            resident_max = kept;
    }
};
static_assert(sizeof(block) + buffer::capacity <= block_bytes);

// Free blocks, the last one given back first.
class free_list {
public:
    block* pop() noexcept {
        --size_;
        return std::exchange(first_, first_->next);
    }
    void push(block& added) noexcept {
        ++size_;
        added.next = std::exchange(first_, &added);
    }
    std::size_t size() const noexcept { return size_; }
    void clear() noexcept {
        while (size_ > 0) block::destroy(pop());
    }

private:
    block* first_ = nullptr;
    std::size_t size_ = 0;
};

// Per thread, so without locks. A block whose bytes are dealt with at once is taken from hot and given back there, again
// and again. One that is still in use when the next is taken is being held: the pool is generous to a few, which keep the
// pages they may need again, and trims the others.
class block_pool {
public:
    block* take() {
        if (last_filled_ != nullptr) hold(*std::exchange(last_filled_, nullptr));
        if (hot_.size() > 0) return hot_.pop();
        return cold_.size() > 0 ? cold_.pop() : block::make();
    }

    void fill(block& filled, std::size_t size_bytes) noexcept {
        filled.in_use = size_bytes;
        filled.resident_max = std::max(filled.resident_max, sizeof(block) + size_bytes);
        last_filled_ = &filled;
    }

    void give_back(block& old) noexcept {
        if (last_filled_ == &old) last_filled_ = nullptr;
        if (old.is_generous) leave_generous(old);
        if (hot_.size() < hot_max && closed_at_thread_exit_)
            hot_.push(old);
        else
            give_back_cold(old);
    }

    void clear() noexcept {
        hot_.clear();
        cold_.clear();
    }

private:
    static constexpr std::size_t generous_max = 8;  // 2 MiB
    static constexpr std::size_t hot_max = 8;       // 2 MiB
    static constexpr std::size_t cold_max = 1024;   // a page each: 4 MiB

    // These two stay out of line: most blocks are given back at once, and their way is to be short.
    [[gnu::noinline]] void hold(block& held) noexcept {
        if (held.is_generous) return;
        if (generous_count_ == generous_max) {
            block& oldest = *generous_[0];
            leave_generous(oldest);
            oldest.trim();
        }
        held.is_generous = true;
        generous_[generous_count_++] = &held;
    }
    [[gnu::noinline]] void leave_generous(block& left) noexcept {
        left.is_generous = false;
        std::size_t position = generous_count_ - 1;
        while (generous_[position] != &left) --position;
        for (--generous_count_; position < generous_count_; ++position) generous_[position] = generous_[position + 1];
    }
    void give_back_cold(block& old) noexcept;

    block* last_filled_ = nullptr;        // unless it was given back
    free_list hot_;                       // as they were given back: the last one's bytes are in the cache
    free_list cold_;                      // trimmed
    block* generous_[generous_max] = {};  // the oldest first
    std::size_t generous_count_ = 0;
    bool closed_at_thread_exit_ = false;
};

constinit thread_local block_pool pool;

// Gives a thread's blocks back when it ends. It stands apart from the pool, and is touched once a thread, because a
// thread_local with a destructor costs a guard at every access.
struct closer {
    bool armed = false;
    ~closer() { pool.clear(); }
};
thread_local closer at_thread_exit;

void block_pool::give_back_cold(block& old) noexcept {
    at_thread_exit.armed = true;
    closed_at_thread_exit_ = true;
    old.in_use = 0;
    old.trim();
    if (cold_.size() < cold_max)
        cold_.push(old);
    else
        block::destroy(&old);
}

}  // namespace

[[gnu::hot]] char* buffer::take_block() { return pool.take()->bytes(); }

[[gnu::hot]] void buffer::fill(char* bytes, std::size_t size_bytes) noexcept {
    pool.fill(block::of(bytes), size_bytes);
}

[[gnu::hot]] void buffer::give_back(char* bytes) noexcept { pool.give_back(block::of(bytes)); }

void buffer::free_cached() noexcept { pool.clear(); }

}  // namespace cove
