// semaphore: at most so many at a time.

#pragma once

#include <cove/runtime/detail/queued_operation.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace cove {

// Counts permits. Those who wait get them in order, and nobody overtakes them.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters and permits.
class semaphore {
public:
    class permit;
    class request;
    class operation;

    // what: the name that stacks print; must outlive the semaphore.
    explicit semaphore(std::size_t permits, const char* what = "semaphore") noexcept : permits_(permits), what_(what) {}

    // Waits for a permit, which is given back when the result is destroyed. Cancellation: takes none.
    operation acquire() noexcept;

    // Takes a permit if there is one and nobody waits; otherwise the result is empty.
    permit try_acquire() noexcept;

    // Adds permits: gives back those that were kept (permit::keep()), or raises the limit.
    void release(std::size_t permits = 1) noexcept;

    // How many permits are there to be taken.
    std::size_t available() const noexcept { return permits_; }

private:
    bool take() noexcept {
        if (permits_ == 0) return false;
        --permits_;
        return true;
    }

    // While anybody waits there are no permits left: a released one goes to the first who waits.
    detail::intrusive_list<request, detail::queue_tag> waiting_;
    std::size_t permits_;
    const char* what_;
};

// A permit, given back on destruction.
class [[nodiscard]] semaphore::permit {
public:
    permit() noexcept = default;
    permit(permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
    permit& operator=(permit other) noexcept {
        std::swap(from_, other.from_);
        return *this;
    }
    ~permit() { release(); }

    // Returns whether this holds a permit.
    explicit operator bool() const noexcept { return from_ != nullptr; }

    // Gives it back now.
    void release() noexcept {
        if (from_ != nullptr) std::exchange(from_, nullptr)->release();
    }
    // Keeps it taken: somebody else will release() the semaphore.
    void keep() noexcept { from_ = nullptr; }

private:
    friend class semaphore;
    friend class condition;
    explicit permit(semaphore& from) noexcept : from_(&from) {}

    semaphore* from_ = nullptr;
};

// Somebody who waits for a permit.
class semaphore::request : public detail::queued_operation<semaphore::request> {
public:
    std::string describe() const override { return semaphore_->what_; }

protected:
    explicit request(semaphore& from) noexcept : semaphore_(&from) {}
    request(const request&) noexcept = default;
    // A permit that reached a coroutine which is destroyed before it could go on is passed on.
    ~request() {
        if (woken_but_not_resumed()) semaphore_->release();
    }

    bool try_now() const noexcept { return semaphore_->take(); }
    void enter() noexcept { semaphore_->waiting_.push_back(*this); }

    semaphore* semaphore_;

private:
    friend queued_operation;
    friend class semaphore;
};

class [[nodiscard]] semaphore::operation final : public semaphore::request {
public:
    explicit operation(semaphore& from) noexcept : request(from) {}
    permit await_resume() const {
        throw_if_canceled();
        return permit(*semaphore_);
    }
};

inline semaphore::operation semaphore::acquire() noexcept { return operation(*this); }

inline semaphore::permit semaphore::try_acquire() noexcept { return take() ? permit(*this) : permit(); }

inline void semaphore::release(std::size_t permits) noexcept {
    for (; permits > 0; --permits) {
        request* first = waiting_.pop_front();
        if (first == nullptr) break;
        first->finish();
    }
    permits_ += permits;
}

}  // namespace cove
