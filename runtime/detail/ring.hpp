// A first-in, first-out queue of fixed capacity, in memory that is taken once.

#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace cove::detail {

template <class T>
class ring {
public:
    // Throws: std::bad_alloc.
    explicit ring(std::size_t capacity)
        : slots_(capacity > 0 ? std::allocator<T>().allocate(capacity) : nullptr), capacity_(capacity) {}
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring() {
        while (size_ > 0) drop();
        if (slots_ != nullptr) std::allocator<T>().deallocate(slots_, capacity_);
    }

    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }

    // The item that is so many behind the first.
    T& operator[](std::size_t position) noexcept { return slots_[index(position)]; }

    // There must be room.
    void push(T&& item) noexcept {
        std::construct_at(slots_ + index(size_), std::move(item));
        ++size_;
    }

    // There must be an item.
    T pop() noexcept {
        struct drop_at_end {
            ring& self;
            ~drop_at_end() { self.drop(); }
        } const guard{*this};
        return std::move(slots_[first_]);
    }
    void drop() noexcept {
        std::destroy_at(slots_ + first_);
        first_ = index(1);
        --size_;
    }

private:
    std::size_t index(std::size_t position) const noexcept {
        const std::size_t beyond = first_ + position;
        return beyond < capacity_ ? beyond : beyond - capacity_;
    }

    T* slots_;
    std::size_t capacity_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

}  // namespace cove::detail
