// barrier: a place where so many coroutines meet before any of them goes on, again and again.

#pragma once

#include <cove/runtime/detail/queued_operation.hpp>

#include <cstddef>
#include <string>

namespace cove {

// Holds whoever arrives until `parties` have; then all go on, and the next round begins.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters.
class barrier {
public:
    class operation;

    // parties: how many meet; 0 is taken for 1.
    explicit barrier(std::size_t parties) noexcept : parties_(parties > 0 ? parties : 1) {}

    // Arrives, and waits for the others. Result: true for the one that arrived last, for work to be done once a round.
    // Cancellation: takes the arrival back.
    operation arrive_and_wait() noexcept;

    // How many have arrived in this round.
    std::size_t arrived() const noexcept { return arrived_; }

private:
    detail::intrusive_list<operation, detail::queue_tag> waiting_;
    std::size_t parties_;
    std::size_t arrived_ = 0;
};

class [[nodiscard]] barrier::operation final : public detail::queued_operation<barrier::operation> {
public:
    // The others may have gone on with its arrival.
    static constexpr bool selectable = false;

    explicit operation(barrier& meeting) noexcept : barrier_(&meeting) {}
    operation(const operation& other) noexcept : queued_operation(other), barrier_(other.barrier_) {}
    ~operation() { take_back(); }

    bool await_resume() {
        throw_if_canceled();
        return was_last_;
    }
    std::string describe() const override {
        return "barrier, " + std::to_string(barrier_->arrived_) + " of " + std::to_string(barrier_->parties_);
    }

private:
    friend queued_operation;
    friend class barrier;

    bool try_now() noexcept {
        was_last_ = barrier_->arrived_ + 1 == barrier_->parties_;
        if (!was_last_) return false;
        barrier_->arrived_ = 0;
        while (operation* first = barrier_->waiting_.pop_front()) first->finish();
        return true;
    }
    void enter() noexcept {
        ++barrier_->arrived_;
        barrier_->waiting_.push_back(*this);
    }
    void take_back() noexcept {
        if (!in_list()) return;
        --barrier_->arrived_;
        leave_list();
    }
    bool withdraw() noexcept override {
        take_back();
        return true;
    }

    barrier* barrier_;
    bool was_last_ = false;
};

inline barrier::operation barrier::arrive_and_wait() noexcept { return operation(*this); }

}  // namespace cove
