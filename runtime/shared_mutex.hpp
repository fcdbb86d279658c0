// shared_mutex: many who read, or one who writes, across awaits.

#pragma once

#include <cove/runtime/detail/queued_operation.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace cove {

// A lock held by any number of readers or by one writer, granted in the order of asking: a reader that comes after a
// waiting writer waits as well, so that neither kind starves.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters and guards.
class shared_mutex {
public:
    class guard;
    class operation;

    // Waits until nobody else holds the lock. Result: a guard. Cancellation: the lock is not taken.
    operation lock() noexcept;
    // Waits until no writer holds the lock, and none who came earlier waits for it.
    operation lock_shared() noexcept;

    // Takes the lock if it is free and nobody waits; otherwise the guard is empty.
    guard try_lock() noexcept;
    guard try_lock_shared() noexcept;

private:
    enum class mode : unsigned char { shared, exclusive };

    bool take(mode wanted) noexcept;
    void unlock(mode held) noexcept;
    void grant() noexcept;

    detail::intrusive_list<operation, detail::queue_tag> waiting_;
    std::size_t readers_ = 0;
    bool writer_ = false;
};

// Holds the lock until it is destroyed, or release() is called.
class [[nodiscard]] shared_mutex::guard {
public:
    guard() noexcept = default;
    guard(guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)), mode_(other.mode_) {}
    guard& operator=(guard other) noexcept {
        std::swap(held_, other.held_);
        std::swap(mode_, other.mode_);
        return *this;
    }
    ~guard() { release(); }

    explicit operator bool() const noexcept { return held_ != nullptr; }
    void release() noexcept {
        if (held_ != nullptr) std::exchange(held_, nullptr)->unlock(mode_);
    }

private:
    friend class shared_mutex;
    guard(shared_mutex& held, mode how) noexcept : held_(&held), mode_(how) {}

    shared_mutex* held_ = nullptr;
    mode mode_ = mode::shared;
};

class [[nodiscard]] shared_mutex::operation final : public detail::queued_operation<shared_mutex::operation> {
public:
    operation(shared_mutex& wanted, mode how) noexcept : mutex_(&wanted), mode_(how) {}
    operation(const operation&) noexcept = default;
    // A lock that reached a coroutine which is destroyed before it could go on is passed on. A writer that leaves may
    // have stood before readers.
    ~operation() {
        if (woken_but_not_resumed())
            mutex_->unlock(mode_);
        else if (in_list())
            withdraw();
    }

    guard await_resume() const {
        throw_if_canceled();
        return guard(*mutex_, mode_);
    }
    std::string describe() const override {
        return mode_ == mode::shared ? "shared_mutex, shared" : "shared_mutex, exclusive";
    }

private:
    friend queued_operation;
    friend class shared_mutex;

    bool try_now() const noexcept { return mutex_->waiting_.empty() && mutex_->take(mode_); }
    void enter() noexcept { mutex_->waiting_.push_back(*this); }
    bool withdraw() noexcept override;

    shared_mutex* mutex_;
    mode mode_;
};

}  // namespace cove
