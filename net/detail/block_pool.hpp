// The memory behind buffers: blocks, which each thread keeps for itself.
//
// A block whose bytes are dealt with at once is filled and given back, again and again, and stays in the cache. One that is
// still in use when the next is needed is being held: the pool is generous to a few of these, which keep the pages they may
// need again, and trims the others to what their bytes fill.
//
// A buffer may end on another thread. A block that its own pool still keeps an eye on is left to that pool then; of any
// other nobody knows, and it goes to the heap.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>

namespace cove::detail {

class block_pool;

// The head of a block; the bytes follow it.
struct alignas(64) block {
    // Where it is out: whether its pool watches it, and whether another thread has left it to that pool.
    enum class place : unsigned char { loose, watched, abandoned };

    explicit block(block_pool& made_by) noexcept : home(&made_by) {}

    block* next = nullptr;         // in a list
    block_pool* home;              // who alone writes here, but for `where`
    std::size_t in_use = 0;        // of its bytes
    std::size_t resident_max = 0;  // how much of it has been written to: what it may cost
    bool is_generous = false;
    std::atomic<place> where{place::loose};

    char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
    static block& of(char* bytes) noexcept { return *(reinterpret_cast<block*>(bytes) - 1); }

    bool is_abandoned() const noexcept { return where.load(std::memory_order_acquire) == place::abandoned; }
    void set_in_use(std::size_t size_bytes) noexcept {
        in_use = size_bytes;
        resident_max = std::max(resident_max, sizeof(block) + size_bytes);
    }
    void trim() noexcept;
};

class block_pool {
public:
    // Returns the bytes of a block to receive into, which stays here until hand_out(). Throws std::bad_alloc.
    char* next() {
        if (next_ == nullptr) [[unlikely]]
            provide_next();
        return next_->bytes();
    }

    // The block that next() named goes out, with so many bytes in use.
    void hand_out(std::size_t size_bytes) noexcept {
        filled_ = std::exchange(next_, nullptr);
        filled_->set_in_use(size_bytes);
        filled_->where.store(block::place::watched, std::memory_order_relaxed);
    }

    void give_back(block& old) noexcept {
        if (&old != filled_) [[unlikely]]
            return give_back_held(old);
        filled_ = nullptr;
        next_ = &old;
    }

    // So many bytes of a block that is out are in use from now on.
    void resize(block& out, std::size_t size_bytes) noexcept;

    // Gives what is kept back to the heap.
    void clear() noexcept;
    // The same when the thread ends, and no longer watches what is out.
    void close() noexcept;

private:
    static constexpr std::size_t generous_max = 8;  // 2 MiB
    static constexpr std::size_t hot_max = 7;       // 2 MiB with the next one
    static constexpr std::size_t cold_max = 1024;   // a page each: 4 MiB

    // Free blocks, the last one given back first.
    class free_list {
    public:
        std::size_t size() const noexcept { return size_; }
        void push(block& added) noexcept {
            ++size_;
            added.next = std::exchange(first_, &added);
        }
        block& pop() noexcept {
            --size_;
            return *std::exchange(first_, first_->next);
        }

    private:
        block* first_ = nullptr;
        std::size_t size_ = 0;
    };

    void provide_next();
    void give_back_held(block& old) noexcept;
    void keep(block& free) noexcept;
    void hold(block& held) noexcept;
    void take_back_abandoned() noexcept;
    void stop_watching(block& out) noexcept;
    void leave_generous(block& left) noexcept;

    block* next_ = nullptr;               // to be filled
    block* filled_ = nullptr;             // the last that went out, unless it was given back; there is no next one then
    free_list hot_;                       // as they were given back
    free_list cold_;                      // trimmed
    block* generous_[generous_max] = {};  // the oldest first
    std::size_t generous_count_ = 0;
    bool is_closed_ = false;  // its thread ends
};

inline constinit thread_local block_pool blocks{};

}  // namespace cove::detail
